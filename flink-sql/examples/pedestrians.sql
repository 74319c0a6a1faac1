-- Pedestrian pixels per camera and minute, from the frames on a topic: no catalogue, no job, one script.
--   ./uplift sql flink-sql/examples/pedestrians.sql

LOAD MODULE uplift;

-- The topic of the frames: the key is the camera, the value a JPEG, a PNG or a CameraFrame record. The query ends after
-- the frames that are there now; without scan.bounded.mode it goes on.
CREATE TABLE camera_frames (
  camera STRING,
  image BYTES,
  published TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  WATERMARK FOR published AS published - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'camera-frames',
  'properties.bootstrap.servers' = 'localhost:9092',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'raw',
  'key.fields' = 'camera',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE MODEL street
  INPUT (image BYTES)
  OUTPUT (segmentation BYTES, failure STRING)
  WITH ('provider' = 'uplift', 'bundle' = 'model/bundles/street');

CREATE TEMPORARY VIEW seen AS
  SELECT camera, published, CLASS_HISTOGRAM(segmentation)['person'] AS pedestrian_pixels, failure
  FROM ML_PREDICT(TABLE camera_frames, MODEL street, DESCRIPTOR(image));

SELECT
  window_start AS `minute`,
  camera,
  SUM(pedestrian_pixels) AS pedestrian_pixels,
  COUNT(pedestrian_pixels) AS frames,
  COUNT(failure) AS failures
FROM TUMBLE(TABLE seen, DESCRIPTOR(published), INTERVAL '1' MINUTE)
GROUP BY window_start, window_end, camera;
