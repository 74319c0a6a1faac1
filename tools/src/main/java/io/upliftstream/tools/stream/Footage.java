package io.upliftstream.tools.stream;

import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.PacketFile;
import io.upliftstream.tools.picture.VideoEncoder;
import io.upliftstream.tools.picture.VideoFile;
import io.upliftstream.tools.picture.VideoOutput;
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

    private final Path directory;
    private final Map<String, VideoOutput> videos = new LinkedHashMap<>();
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
        VideoOutput video = videos.get(camera);
        if (video == null) {
            byte[] sets = AccessUnit.of(CameraFrames.codec(packet), unit).parameterSets();
            if (!key || sets.length == 0) {
                leftOut++;
                return;
            }
            video = new PacketFile(path(camera), packet.getCodec(), sets, unit, packet.getCaptureTimeMicros());
            videos.put(camera, video);
        }
        if (!(video instanceof PacketFile packets) || packets.codec() != packet.getCodec()) {
            throw new MalformedRecordException("packet: %s after other frames of %s (expected: one codec in a video)"
                    .formatted(packet.getCodec(), camera));
        }
        packets.add(unit, key, packet.getCaptureTimeMicros());
    }

    private void write(String camera, CameraFrame frame) throws IOException {
        BufferedImage picture = Images.decode(CameraFrames.image(frame));
        VideoOutput video = videos.get(camera);
        if (video == null) {
            video = begin(path(camera), picture);
            videos.put(camera, video);
        }
        if (!(video instanceof VideoFile pictures)) {
            throw new MalformedRecordException(
                    "image: after packets of %s (expected: images or packets in a video)".formatted(camera));
        }
        pictures.add(picture, frame.getCaptureTimeMicros());
    }

    /** Begins a video in the size of its first picture. */
    static VideoFile begin(Path file, BufferedImage first) throws IOException {
        if (!VideoEncoder.encodes(first.getWidth(), first.getHeight())) {
            throw new MalformedRecordException(
                    "frame: %d x %d (expected: a size that H.264 has)".formatted(first.getWidth(), first.getHeight()));
        }
        return new VideoFile(file, first.getWidth(), first.getHeight());
    }

    private Path path(String camera) {
        return directory.resolve(FileNames.of(camera) + ".mp4");
    }

    /** Pictures that are not shown at the time at which they were taken. */
    public long continued() {
        return videos.values().stream().mapToLong(VideoOutput::continued).sum();
    }

    /** Packets before a camera's first key frame with parameter sets. */
    public long leftOut() {
        return leftOut;
    }

    @Override
    public void close() throws IOException {
        VideoOutput.closeAll(videos.values());
    }
}
