package io.upliftstream.tools.view;

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * What a browser asks for.
 *
 * @param want kinds of parts, of {@link Moment#KINDS}
 * @param cameras only these; empty for all
 * @param after number of the newest moment that the browser has
 * @param topic that the frame is on; empty if none is named
 * @param partition of the frame on the input topic; -1 if none is asked for
 * @param offset of the frame in its partition; -1 if none is asked for
 */
record Question(
        String path, Set<String> want, Set<String> cameras, long after, String topic, int partition, long offset) {
    /** Characters of the whole address. */
    private static final int MAX_LENGTH = 8192;

    /**
     * Reads an address.
     *
     * @throws Refusal if it is too long, or a value is not one
     */
    static Question of(URI address) {
        if (address.toString().length() > MAX_LENGTH) {
            throw new Refusal(
                    414,
                    "address: %d characters (expected: at most %d)"
                            .formatted(address.toString().length(), MAX_LENGTH));
        }
        Set<String> want = new LinkedHashSet<>();
        Set<String> cameras = new LinkedHashSet<>();
        long after = 0;
        String topic = "";
        long partition = -1;
        long offset = -1;
        String query = address.getRawQuery() == null ? "" : address.getRawQuery();
        for (String pair : query.split("&", -1)) {
            int equals = Math.max(0, pair.indexOf('='));
            String value = decoded(pair.substring(Math.min(equals + 1, pair.length())));
            switch (pair.substring(0, equals)) {
                case "want" -> List.of(value.split(",", -1)).forEach(kind -> addOnce(want, kind, "want"));
                case "camera" -> addOnce(cameras, value, "camera");
                case "after" -> after = number("after", value, Long.MAX_VALUE);
                case "topic" -> topic = value;
                case "partition" -> partition = number("partition", value, Integer.MAX_VALUE);
                case "offset" -> offset = number("offset", value, Long.MAX_VALUE);
                default -> {} // such as what a chat program adds to a link
            }
        }
        if (!Moment.KINDS.containsAll(want)) {
            throw new Refusal(400, "want: %s (expected: of %s)".formatted(want, Moment.KINDS));
        }
        if (cameras.size() > Board.MAX_CAMERAS) {
            throw new Refusal(
                    400, "camera: %d of them (expected: at most %d)".formatted(cameras.size(), Board.MAX_CAMERAS));
        }
        return new Question(
                address.getPath(),
                want.isEmpty() ? Set.of("labels") : want,
                cameras,
                after,
                topic,
                (int) partition,
                offset);
    }

    /** @throws Refusal if no frame is asked for */
    void requireFrame() {
        if (partition < 0 || offset < 0) {
            throw new Refusal(400, "partition and offset: none (expected: both)");
        }
    }

    private static void addOnce(Set<String> values, String value, String name) {
        if (!values.add(value)) {
            throw new Refusal(400, name + ": one of them twice (expected: each once)");
        }
    }

    private static long number(String name, String value, long most) {
        try {
            long number = Long.parseLong(value);
            if (number >= 0 && number <= most) {
                return number;
            }
        } catch (NumberFormatException e) {
            // said below
        }
        throw new Refusal(400, "%s: %s (expected: 0 to %d)".formatted(name, value, most));
    }

    private static String decoded(String value) {
        try {
            return URLDecoder.decode(value, StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            throw new Refusal(400, "address: a percent sign without two hexadecimal digits (expected: %25 for itself)");
        }
    }
}
