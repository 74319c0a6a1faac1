package io.upliftstream.tools.stream;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.VideoPacket;
import java.util.List;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.ConfigOption;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** What is on the job's topics: the frames that it reads, and what it writes, each kind to a topic of its own. */
public enum RecordKind {
    FRAMES(CameraFrame.class),
    SEGMENTATION(SegmentationRecord.class),
    FEATURES(FeatureRecord.class),
    DEPTH(FeatureRecord.class),
    FAILURES(FrameFailure.class),
    DROPPED(FrameDropped.class);

    /** What a job writes: all but the frames that it reads. */
    public static final List<RecordKind> OUTPUTS = List.of(SEGMENTATION, FEATURES, DEPTH, FAILURES, DROPPED);

    static {
        // Elements of an array in a record; Avro's own limit counts only the place of each, not what is in it.
        if (System.getProperty("org.apache.avro.limits.collectionItems.maxLength") == null) {
            System.setProperty("org.apache.avro.limits.collectionItems.maxLength", Integer.toString(1 << 16));
        }
    }

    private final Class<? extends SpecificRecord> type;

    RecordKind(Class<? extends SpecificRecord> type) {
        this.type = type;
    }

    /** The option that names the topic. */
    public ConfigOption<String> topic() {
        return switch (this) {
            case FRAMES -> InputOptions.INPUT_TOPIC;
            case SEGMENTATION -> OutputOptions.SEGMENTATION_TOPIC;
            case FEATURES -> OutputOptions.FEATURES_TOPIC;
            case DEPTH -> OutputOptions.REGRESSION_TOPIC;
            case FAILURES -> OutputOptions.FAILURES_TOPIC;
            case DROPPED -> OutputOptions.DROPPED_TOPIC;
        };
    }

    /** Whether its records hold a grid of labels or vectors. */
    public boolean dense() {
        return type == SegmentationRecord.class || type == FeatureRecord.class;
    }

    /**
     * What is in a record of the topic, looked over but for its payload: sizes fit each other and the heap, names are of a
     * bounded length.
     *
     * @param decoder of values in either framing
     * @throws MalformedRecordException if it is of no such kind, has no value, or no job writes such a record
     */
    public SpecificRecord decode(ConsumerRecord<byte[], byte[]> record, RecordDecoder decoder) {
        SpecificRecord decoded =
                this == FRAMES ? CameraFrames.of(record, decoder) : decoder.decode(CameraFrames.value(record), type);
        RecordChecks.check(decoded);
        return decoded;
    }

    /** The camera that a record of any kind is about. */
    public static String cameraId(SpecificRecord record) {
        if (record instanceof CameraFrame frame) {
            return frame.getCameraId();
        }
        return record instanceof VideoPacket packet
                ? packet.getCameraId()
                : header(record).getCameraId();
    }

    /** The name of the head that a dense record is of. */
    public static String head(SpecificRecord record) {
        return record instanceof SegmentationRecord labels ? labels.getName() : ((FeatureRecord) record).getName();
    }

    /** The header of a record of any kind but frames. */
    public static RecordHeader header(SpecificRecord record) {
        if (record instanceof SegmentationRecord labels) {
            return labels.getHeader();
        } else if (record instanceof FeatureRecord tensor) {
            return tensor.getHeader();
        } else if (record instanceof FrameFailure failure) {
            return failure.getHeader();
        }
        return ((FrameDropped) record).getHeader();
    }
}
