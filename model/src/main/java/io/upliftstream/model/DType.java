package io.upliftstream.model;

/** The type of a head's output numbers; little-endian. */
public enum DType {
    UINT8(1),
    FLOAT16(2),
    FLOAT32(4);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one number. */
    public int bytes() {
        return bytes;
    }
}
