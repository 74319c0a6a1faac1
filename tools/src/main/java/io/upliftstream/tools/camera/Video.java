package io.upliftstream.tools.camera;

/** Whether a camera's pictures go out alone or as video. */
public enum Video {
    /** Each picture as an image of its own. */
    NONE,
    /** The packets that the source has. */
    PACKETS,
    /** The packets that the source has; pictures of sources without are encoded as H.264. */
    PACKETS_OR_ENCODED,
    /** Pictures of every source are encoded as H.264. */
    ENCODED
}
