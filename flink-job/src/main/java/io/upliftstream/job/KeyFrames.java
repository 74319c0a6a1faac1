package io.upliftstream.job;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;

/** Key frames of one video from which a decoder may have to begin, by their offsets. */
final class KeyFrames {
    /** No offset. */
    static final long NONE = -1;

    private record KeyFrame(long offset, boolean clean) {}

    private final Deque<KeyFrame> oldestFirst = new ArrayDeque<>();

    /** @param clean whether nothing that is shown from there on needs what was before */
    void add(long offset, boolean clean) {
        oldestFirst.add(new KeyFrame(offset, clean));
    }

    /**
     * The key frame to begin with so that a packet and those behind it can be decoded: a clean one, or the one before an open
     * one, whose leading pictures need what was before.
     */
    long before(long packet) {
        boolean open = false;
        long start = NONE;
        for (Iterator<KeyFrame> newestFirst = oldestFirst.descendingIterator(); newestFirst.hasNext(); ) {
            KeyFrame key = newestFirst.next();
            if (key.offset() <= packet) {
                start = key.offset();
                if (key.clean() || open) {
                    break;
                }
                open = true;
            }
        }
        return start;
    }

    /** Nobody will ask for those before an offset. */
    void forget(long before) {
        oldestFirst.removeIf(key -> key.offset() < before);
    }

    void clear() {
        oldestFirst.clear();
    }
}
