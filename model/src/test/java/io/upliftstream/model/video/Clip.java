package io.upliftstream.model.video;

import io.upliftstream.model.video.AccessUnit.Codec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The packets of the small videos among the test resources; make_clips there says how these came to be. */
final class Clip {
    private Clip() {}

    /** The packets of a file whose name ends with the codec's. */
    static List<byte[]> packets(String name) throws IOException {
        byte[] file = Files.readAllBytes(Path.of("src", "test", "resources", "video", name));
        List<Integer> starts = new ArrayList<>();
        for (int i = 0; i + 5 < file.length; i++) {
            if (codec(name) == Codec.AV1 ? file[i] == 0x12 && file[i + 1] == 0 : isDelimiter(file, i, codec(name))) {
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

    static Codec codec(String name) {
        return name.endsWith(".h264") ? Codec.H264 : name.endsWith(".h265") ? Codec.H265 : Codec.AV1;
    }

    /** An access unit delimiter behind a long start code. */
    private static boolean isDelimiter(byte[] file, int at, Codec codec) {
        return file[at] == 0
                && file[at + 1] == 0
                && file[at + 2] == 0
                && file[at + 3] == 1
                && file[at + 4] == (codec == Codec.H264 ? 9 : 0x46);
    }
}
