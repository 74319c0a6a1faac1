package io.upliftstream.tools;

import io.upliftstream.model.Picture;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Shown;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * A small video among the model's test resources.
 *
 * @param packets in decoding order
 * @param shown of each packet, the place of its picture in the order in which they are shown
 * @param pictures in decoding order
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record VideoClip(Codec codec, List<byte[]> packets, int[] shown, List<Picture> pictures) {
    /** Reads a video of H.264 or H.265, each access unit of which begins with a delimiter. */
    public static VideoClip of(String name) throws IOException {
        byte[] file = Files.readAllBytes(Path.of("..", "model", "src", "test", "resources", "video", name));
        Codec codec = name.endsWith("h264") ? Codec.H264 : Codec.H265;
        int delimiter = codec == Codec.H264 ? 9 : 0x46;
        List<Integer> starts = new ArrayList<>();
        for (int i = 0; i + 4 < file.length; i++) {
            if (file[i] == 0 && file[i + 1] == 0 && file[i + 2] == 0 && file[i + 3] == 1 && file[i + 4] == delimiter) {
                starts.add(i);
            }
        }
        starts.add(file.length);
        List<byte[]> packets = new ArrayList<>();
        List<Shown> shown = new ArrayList<>();
        try (VideoDecoder decoder = new VideoDecoder(codec, 1_000_000)) {
            for (int i = 0; i + 1 < starts.size(); i++) {
                packets.add(Arrays.copyOfRange(file, starts.get(i), starts.get(i + 1)));
                shown.addAll(
                        decoder.decode(i, packets.get(i), false, wanted -> true).shown());
            }
            shown.addAll(decoder.flush(wanted -> true));
        }
        int[] places = new int[packets.size()];
        Picture[] pictures = new Picture[packets.size()];
        for (int place = 0; place < shown.size(); place++) {
            int packet = (int) shown.get(place).packet();
            places[packet] = place;
            pictures[packet] = Objects.requireNonNull(shown.get(place).picture());
        }
        return new VideoClip(codec, packets, places, List.of(pictures));
    }

    /** The packet with this sequence of a camera that sends the video again and again, a picture every 40 ms. */
    public VideoPacket packet(String cameraId, long sequence) {
        int index = (int) (sequence % packets.size());
        return VideoPacket.newBuilder()
                .setCameraId(cameraId)
                .setSequence(sequence)
                .setCaptureTimeMicros((sequence - index + shown[index]) * 40_000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setCodec(codec == Codec.H264 ? VideoCodec.H264 : VideoCodec.H265)
                .setKeyFrame(index == 0)
                .setData(ByteBuffer.wrap(packets.get(index)))
                .build();
    }
}
