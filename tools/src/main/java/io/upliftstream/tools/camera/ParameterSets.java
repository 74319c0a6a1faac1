package io.upliftstream.tools.camera;

import io.upliftstream.schemas.VideoCodec;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** What a decoder has to know before a key frame, and how a stream in Annex B is told by its first bytes. */
public final class ParameterSets {
    private static final byte[] START = {0, 0, 0, 1};

    private ParameterSets() {}

    /**
     * SPS and PPS, of H.265 VPS too, that are in an access unit, each behind a start code; of AV1, the sequence header if
     * the unit begins with it. Empty if there are none.
     */
    public static byte[] of(VideoCodec codec, byte[] unit) {
        ByteArrayOutputStream sets = new ByteArrayOutputStream();
        if (codec == VideoCodec.AV1) {
            int obu = unit.length > 2 && unit[0] == 0x12 ? 2 : 0; // behind a temporal delimiter
            return unit.length > obu && (unit[obu] >> 3 & 0xf) == 1 ? sequenceHeader(unit, obu) : new byte[0];
        }
        for (int at = start(unit, 0); at < unit.length; ) {
            int end = start(unit, at);
            int type = codec == VideoCodec.H264 ? unit[at] & 0x1f : unit[at] >> 1 & 0x3f;
            boolean set = codec == VideoCodec.H264 ? type == 7 || type == 8 : type >= 32 && type <= 34;
            boolean picture = codec == VideoCodec.H264 ? type >= 1 && type <= 5 : type < 32;
            if (set) {
                int last = startsAt(unit, end - 3) ? end - 3 : end;
                while (last > at && unit[last - 1] == 0) {
                    last--; // zeros before a start code are none of the unit
                }
                sets.writeBytes(START);
                sets.write(unit, at, last - at);
            } else if (picture) {
                break;
            }
            at = end;
        }
        return sets.toByteArray();
    }

    /**
     * The codec of a stream in Annex B by the first NAL unit: parameter sets, access unit delimiter or a key frame. Null if
     * it is none of these.
     */
    public static @Nullable VideoCodec codec(byte[] unit) {
        int at = start(unit, 0);
        if (at > 4 || at >= unit.length) {
            return null;
        }
        int header = unit[at] & 0xff;
        int h265 = header >> 1 & 0x3f;
        boolean layer0 = at + 1 < unit.length && (header & 0x81) == 0 && (unit[at + 1] & 0xff) == 1;
        if (layer0 && ((h265 >= 32 && h265 <= 35) || h265 == 19 || h265 == 20 || h265 == 21)) {
            return VideoCodec.H265;
        }
        int h264 = header & 0x1f;
        return (header & 0x80) == 0 && (h264 == 5 || (h264 >= 7 && h264 <= 9)) ? VideoCodec.H264 : null;
    }

    private static byte[] sequenceHeader(byte[] unit, int at) {
        int size = 0;
        int length = 0;
        for (int i = at + 1; i < unit.length && length < 4; i++, length++) {
            size |= (unit[i] & 0x7f) << (7 * length);
            if (unit[i] >= 0) {
                length++;
                break;
            }
        }
        int end = Math.min(unit.length, at + 1 + length + size);
        return Arrays.copyOfRange(unit, at, end);
    }

    /** Where the next NAL unit begins, behind its start code; the length if there is none. */
    private static int start(byte[] unit, int from) {
        for (int at = from; at + 2 < unit.length; at++) {
            if (startsAt(unit, at)) {
                return at + 3;
            }
        }
        return unit.length;
    }

    private static boolean startsAt(byte[] unit, int at) {
        return at + 2 < unit.length && unit[at] == 0 && unit[at + 1] == 0 && unit[at + 2] == 1;
    }
}
