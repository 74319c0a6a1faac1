package io.upliftstream.tools.stream;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.model.DType;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.picture.Npy;
import io.upliftstream.tools.picture.VideoFile;
import io.upliftstream.tools.picture.VideoOutput;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.avro.specific.SpecificRecord;

/**
 * What becomes of records that are read. Files go under the {@link FileNames} of what the records name, each in place of
 * what has its name, links included.
 */
public interface RecordFiles extends AutoCloseable {
    /** What is wrong where a print stream has an error. */
    String NO_MORE = "standard output takes no more: it is closed, as head does, or its disk is full";

    /**
     * Writes one record.
     *
     * @throws MalformedRecordException if its payload is not what it says; others can be written
     */
    void write(SpecificRecord record) throws IOException;

    @Override
    default void close() throws IOException {}

    /** A line of JSON for each, as {@link RecordJson} has it. */
    static RecordFiles lines(PrintStream out) {
        ObjectMapper mapper = new ObjectMapper();
        return record -> {
            out.println(mapper.writeValueAsString(RecordJson.of(record)));
            if (out.checkError()) {
                throw new IOException(NO_MORE);
            }
        };
    }

    /** A picture for each, {@code <camera>_<sequence>.<head>.png}. */
    static RecordFiles pictures(Path directory, RecordPainter painter) {
        return record -> FreshFile.write(directory.resolve(stem(record) + ".png"), Images.png(painter.paint(record)));
    }

    /** An array for each, {@code <camera>_<sequence>.<head>.npy}, on the model's grid. */
    static RecordFiles arrays(Path directory) {
        return record -> {
            Path file = directory.resolve(stem(record) + ".npy");
            if (record instanceof SegmentationRecord segmentation) {
                Npy.write(
                        file,
                        DType.UINT8,
                        List.of(
                                segmentation.getMask().getHeight(),
                                segmentation.getMask().getWidth()),
                        ByteBuffer.wrap(MaskCodec.decode(segmentation.getMask())));
            } else {
                FeatureRecord features = (FeatureRecord) record;
                float[] values = TensorCodec.toFloats(features.getTensor());
                ByteBuffer bytes =
                        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(values);
                Npy.write(file, DType.FLOAT32, features.getTensor().getShape(), bytes);
            }
        };
    }

    /** Each frame as it was sent, {@code <camera>_<sequence>.jpg}, {@code .png}, {@code .h264}, {@code .h265} or {@code .av1}. */
    static RecordFiles images(Path directory) {
        return record -> {
            if (record instanceof VideoPacket packet) {
                String name = stem(packet.getCameraId(), packet.getSequence())
                        + "."
                        + packet.getCodec().name().toLowerCase(Locale.ROOT);
                FreshFile.write(directory.resolve(name), CameraFrames.unit(packet));
                return;
            }
            CameraFrame frame = (CameraFrame) record;
            String extension = CameraFrames.isPng(frame.getImage()) ? ".png" : ".jpg";
            Path file = directory.resolve(stem(frame.getCameraId(), frame.getSequence()) + extension);
            FreshFile.write(file, CameraFrames.image(frame));
        };
    }

    /**
     * A video for each camera, {@code <camera>.mp4}: of packets as they were sent, of images encoded, each at the time at
     * which it was taken.
     */
    static RecordFiles footage(Path directory) {
        return new Footage(directory);
    }

    /**
     * A video for each camera and head, {@code <camera>.<head>.mp4}, in the size of its first frame; frames are as far apart as
     * they were taken.
     */
    static RecordFiles videos(Path directory, RecordPainter painter) {
        return new Videos(directory, painter);
    }

    /** A file name without its extension that says which record it is. */
    private static String stem(SpecificRecord record) {
        RecordHeader header = RecordKind.header(record);
        return stem(header.getCameraId(), header.getSequence()) + "." + name(record);
    }

    private static String stem(String cameraId, long sequence) {
        return String.format(Locale.ROOT, "%s_%06d", FileNames.of(cameraId), sequence);
    }

    private static String name(SpecificRecord record) {
        return FileNames.withoutDots(RecordKind.head(record));
    }

    /** Videos that are being written. */
    final class Videos implements RecordFiles {
        /** Each is an encoder; whoever writes to the topic may invent a camera for every record. */
        private static final int MAX_VIDEOS = 128;

        private final Path directory;
        private final RecordPainter painter;
        private final Map<String, VideoFile> videos = new LinkedHashMap<>();

        private Videos(Path directory, RecordPainter painter) {
            this.directory = directory;
            this.painter = painter;
        }

        @Override
        public void write(SpecificRecord record) throws IOException {
            RecordHeader header = RecordKind.header(record);
            String name = FileNames.of(header.getCameraId()) + "." + name(record) + ".mp4";
            BufferedImage picture = painter.paint(record);
            VideoFile video = videos.get(name);
            if (video == null) {
                if (videos.size() == MAX_VIDEOS) {
                    throw new MalformedRecordException(
                            "video: one more than %d (expected: fewer cameras and heads at once,".formatted(MAX_VIDEOS)
                                    + " such as by --camera)");
                }
                video = Footage.begin(directory.resolve(name), picture);
                videos.put(name, video);
            }
            video.add(picture, header.getCaptureTimeMicros());
        }

        /** Frames whose time did not go on from that of the frame before. */
        public long continued() {
            return videos.values().stream().mapToLong(VideoFile::continued).sum();
        }

        @Override
        public void close() throws IOException {
            VideoOutput.closeAll(videos.values());
        }
    }
}
