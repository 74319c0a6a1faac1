package io.upliftstream.model.video;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.Optional;

/**
 * What the bytes of a packet say of it. Of H.264 and H.265 in Annex B by the headers of their NAL units (ITU-T H.264, 7.3.1;
 * H.265, 7.3.1.2), of AV1 by those of its OBUs (AV1 specification, 5.3.2).
 *
 * @param clean decoding can start here, and all that is shown from here on can be decoded (IDR, BLA, a key frame of AV1)
 * @param open decoding can start here, but pictures that come later and are shown earlier need what was before
 * @param picture whether there is a picture in it, or a part of one
 * @param parameterSets the SPS and PPS, with H.265 the VPS, that are in it, with their start codes; of AV1 the sequence
 *     header; empty if none
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record AccessUnit(boolean clean, boolean open, boolean picture, byte[] parameterSets) {
    /** What a packet is encoded with. */
    public enum Codec {
        H264,
        H265,
        AV1
    }

    private static final byte[] START = {0, 0, 0, 1};
    private static final int OBU_SEQUENCE_HEADER = 1;

    /** The NAL units of a packet, one after the other. */
    private static final class Nals {
        private final byte[] data;
        private int start;
        private int end;

        Nals(byte[] data) {
            this.data = data;
            end = startCode(0);
        }

        boolean next() {
            start = end + 3;
            if (start >= data.length) {
                return false;
            }
            end = startCode(start);
            return true;
        }

        private int startCode(int from) {
            for (int i = from; i + 3 <= data.length; i++) {
                if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1) {
                    return i;
                }
            }
            return data.length;
        }

        int at(int index) {
            return start + index < end ? data[start + index] & 0xFF : 0;
        }
    }

    /** Reads a packet; what is none has nothing of it. */
    public static AccessUnit of(Codec codec, byte[] data) {
        return switch (codec) {
            case H264 -> h264(data);
            case H265 -> h265(data);
            case AV1 -> {
                byte[] header = sequenceHeader(data);
                yield new AccessUnit(header.length > 0, false, true, header);
            }
        };
    }

    /** The codec of a value that begins with a start code: by its first NAL unit, where that is one only one of them has. */
    public static Optional<Codec> codec(byte[] data) {
        if (data.length < 6 || data[0] != 0 || data[1] != 0 || !(data[2] == 1 || (data[2] == 0 && data[3] == 1))) {
            return Optional.empty();
        }
        Nals nals = new Nals(data);
        nals.next();
        int header = nals.at(0);
        int second = nals.at(1);
        // Layer 0 and temporal layer 0: what begins an access unit of H.265 that a decoder can start with.
        if (second == 1
                && (header == 0x40
                        || header == 0x42
                        || header == 0x44
                        || header == 0x46
                        || header == 0x4E
                        || header == 0x26
                        || header == 0x28
                        || header == 0x2A)) {
            return Optional.of(Codec.H265);
        }
        int type = header & 0x1F;
        return header < 0x80 && (type == 1 || (type >= 5 && type <= 9)) ? Optional.of(Codec.H264) : Optional.empty();
    }

    private static AccessUnit h264(byte[] data) {
        boolean clean = false;
        boolean open = false;
        boolean picture = false;
        ByteArrayOutputStream sets = new ByteArrayOutputStream(0);
        for (Nals nals = new Nals(data); nals.next(); ) {
            int type = nals.at(0) & 0x1F;
            clean |= type == 5;
            picture |= type >= 1 && type <= 5;
            open |= type == 6 && nals.at(1) == 6; // SEI: recovery point
            if (type == 7 || type == 8) {
                add(sets, nals);
            }
        }
        return new AccessUnit(clean, open && !clean, picture, sets.toByteArray());
    }

    private static AccessUnit h265(byte[] data) {
        boolean clean = false;
        boolean open = false;
        boolean picture = false;
        ByteArrayOutputStream sets = new ByteArrayOutputStream(0);
        for (Nals nals = new Nals(data); nals.next(); ) {
            int type = nals.at(0) >> 1 & 0x3F;
            clean |= type >= 16 && type <= 20;
            open |= type == 21; // CRA
            picture |= type < 32;
            if (type >= 32 && type <= 34) {
                add(sets, nals);
            }
        }
        return new AccessUnit(clean, open && !clean, picture, sets.toByteArray());
    }

    private static void add(ByteArrayOutputStream sets, Nals nals) {
        int last = nals.end;
        while (last > nals.start && nals.data[last - 1] == 0) {
            last--; // zeros before a start code are none of the unit
        }
        sets.writeBytes(START);
        sets.write(nals.data, nals.start, last - nals.start);
    }

    /** The OBU that is one, whole; empty if there is none. */
    private static byte[] sequenceHeader(byte[] data) {
        for (int at = 0; at < data.length; ) {
            int start = at;
            int type = data[at] >> 3 & 0xF;
            boolean extended = (data[at] & 4) != 0;
            boolean sized = (data[at] & 2) != 0;
            at += extended ? 2 : 1;
            long size = sized ? 0 : data.length;
            int shift = 0;
            int more = sized ? 0x80 : 0;
            while (more != 0 && shift < 35 && at < data.length) {
                more = data[at] & 0x80;
                size |= (long) (data[at++] & 0x7F) << shift;
                shift += 7;
            }
            at = (int) Math.min(data.length, at + size);
            if (type == OBU_SEQUENCE_HEADER) {
                return Arrays.copyOfRange(data, start, at);
            }
        }
        return new byte[0];
    }
}
