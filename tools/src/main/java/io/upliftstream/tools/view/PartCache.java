package io.upliftstream.tools.view;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/** Parts that were made for one browser, for the next that asks for them. For use by one thread at a time. */
final class PartCache {
    /** What a part takes beside its bytes, at most. */
    private static final int OVERHEAD = 4096;

    private final long maxBytes;
    private final Map<String, Moment.Part> parts = new LinkedHashMap<>(16, 0.75f, true);
    private long bytes;

    PartCache(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    Moment.Part get(String key, Supplier<Moment.Part> maker) {
        Moment.Part known = parts.get(key);
        if (known != null) {
            return known;
        }
        Moment.Part made = maker.get();
        parts.put(key, made);
        bytes += size(made);
        Iterator<Moment.Part> eldest = parts.values().iterator();
        while (bytes > maxBytes && eldest.hasNext()) {
            bytes -= size(eldest.next());
            eldest.remove();
        }
        return made;
    }

    private static long size(Moment.Part part) {
        return (long) part.data().length + OVERHEAD;
    }
}
