package io.upliftstream.job;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The packets of the small videos among the model's test resources, as records of the frame topic. */
final class Clip {
    private Clip() {}

    /** The access units of a video of H.264 or H.265, each of which begins with a delimiter. */
    static List<byte[]> packets(String name) {
        byte[] file;
        try {
            file = Files.readAllBytes(Path.of("..", "model", "src", "test", "resources", "video", name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        int delimiter = name.endsWith("h264") ? 9 : 0x46;
        List<Integer> starts = new ArrayList<>();
        for (int i = 0; i + 4 < file.length; i++) {
            if (file[i] == 0 && file[i + 1] == 0 && file[i + 2] == 0 && file[i + 3] == 1 && file[i + 4] == delimiter) {
                starts.add(i);
            }
        }
        starts.add(file.length);
        List<byte[]> packets = new ArrayList<>();
        for (int i = 0; i + 1 < starts.size(); i++) {
            packets.add(Arrays.copyOfRange(file, starts.get(i), starts.get(i + 1)));
        }
        return packets;
    }

    /** A record of a packet; its offset is 1000 and the sequence. */
    static RawFrame record(String cameraId, long sequence, String clip, byte[] data) {
        VideoPacket packet = VideoPacket.newBuilder()
                .setCameraId(cameraId)
                .setSequence(sequence)
                .setCaptureTimeMicros(TestFrames.RECORDED * 1000 + sequence * 40_000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setCodec(clip.endsWith("h264") ? VideoCodec.H264 : VideoCodec.H265)
                .setKeyFrame(false)
                .setData(ByteBuffer.wrap(data))
                .build();
        return TestFrames.raw(1000 + sequence, cameraId, SingleObject.encode(packet));
    }

    /** The packet on another partition, or at another offset, under the same id. */
    static RawFrame moved(RawFrame record, int partition, long offset) {
        return new RawFrame(
                record.topic(),
                partition,
                offset,
                record.timestampMillis(),
                record.key(),
                record.value(),
                record.trace());
    }

    /** Records of a whole video. */
    static List<RawFrame> records(String cameraId, String clip) {
        List<RawFrame> records = new ArrayList<>();
        for (byte[] data : packets(clip)) {
            records.add(record(cameraId, records.size(), clip, data));
        }
        return records;
    }
}
