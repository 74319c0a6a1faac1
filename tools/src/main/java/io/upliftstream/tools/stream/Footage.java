package io.upliftstream.tools.stream;

import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.PacketFile;
import io.upliftstream.tools.picture.VideoEncoder;
import io.upliftstream.tools.picture.VideoFile;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.specific.SpecificRecord;

/** What cameras sent as videos that play; packets before a camera's first key frame are left out. */
public final class Footage implements RecordFiles {
    /** Each is an open file. */
    private static final int MAX_VIDEOS = 128;

    /** A camera's video. */
    private sealed interface Video extends AutoCloseable {
        long continued();

        @Override
        void close() throws IOException;
    }

    private record Pictures(VideoFile file) implements Video {
        @Override
        public long continued() {
            return file.continued();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }

    private record Packets(PacketFile file, VideoCodec codec) implements Video {
        @Override
        public long continued() {
            return file.continued();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }

    private final Path directory;
    private final Map<String, Video> videos = new LinkedHashMap<>();
    private long leftOut;

    Footage(Path directory) {
        this.directory = directory;
    }

    @Override
    public void write(SpecificRecord record) throws IOException {
        String camera = RecordKind.cameraId(record);
        if (!videos.containsKey(camera) && videos.size() == MAX_VIDEOS) {
            throw new MalformedRecordException(
                    "video: one more than %d (expected: fewer cameras at once, such as by --camera)"
                            .formatted(MAX_VIDEOS));
        }
        if (record instanceof VideoPacket packet) {
            write(camera, packet);
        } else {
            write(camera, (CameraFrame) record);
        }
    }

    private void write(String camera, VideoPacket packet) throws IOException {
        byte[] unit = CameraFrames.unit(packet);
        boolean key = CameraFrames.isKeyFrame(packet);
        Video video = videos.get(camera);
        if (video == null) {
            byte[] sets = AccessUnit.of(CameraFrames.codec(packet), unit).parameterSets();
            if (!key || sets.length == 0) {
                leftOut++;
                return;
            }
            video = new Packets(
                    new PacketFile(path(camera), packet.getCodec(), sets, unit, packet.getCaptureTimeMicros()),
                    packet.getCodec());
            videos.put(camera, video);
        }
        if (!(video instanceof Packets packets) || packets.codec != packet.getCodec()) {
            throw new MalformedRecordException("packet: %s after other frames of %s (expected: one codec in a video)"
                    .formatted(packet.getCodec(), camera));
        }
        packets.file.add(unit, key, packet.getCaptureTimeMicros());
    }

    private void write(String camera, CameraFrame frame) throws IOException {
        BufferedImage picture = Images.decode(CameraFrames.image(frame));
        Video video = videos.get(camera);
        if (video == null) {
            if (!VideoEncoder.encodes(picture.getWidth(), picture.getHeight())) {
                throw new MalformedRecordException("frame: %d x %d (expected: a size that H.264 has)"
                        .formatted(picture.getWidth(), picture.getHeight()));
            }
            video = new Pictures(new VideoFile(path(camera), picture.getWidth(), picture.getHeight()));
            videos.put(camera, video);
        }
        if (!(video instanceof Pictures pictures)) {
            throw new MalformedRecordException(
                    "image: after packets of %s (expected: images or packets in a video)".formatted(camera));
        }
        pictures.file.add(picture, frame.getCaptureTimeMicros());
    }

    private Path path(String camera) {
        return directory.resolve(FileNames.of(camera) + ".mp4");
    }

    /** Pictures that are not shown at the time at which they were taken. */
    public long continued() {
        return videos.values().stream().mapToLong(Video::continued).sum();
    }

    /** Packets before a camera's first key frame with parameter sets. */
    public long leftOut() {
        return leftOut;
    }

    /** Ends all of them, even if one cannot be ended. */
    @Override
    public void close() throws IOException {
        IOException failed = null;
        for (Video video : videos.values()) {
            try {
                video.close();
            } catch (IOException e) {
                if (failed != null) {
                    e.addSuppressed(failed);
                }
                failed = e;
            }
        }
        if (failed != null) {
            throw failed;
        }
    }
}
