package io.upliftstream.job;

import java.util.Collection;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.IntStream;

/** The name that somebody may have meant. */
public final class NearestName {
    private NearestName() {}

    /**
     * The name of the least Levenshtein distance: the fewest letters to insert, delete or replace. Empty if more than half
     * of the letters are other ones.
     */
    public static Optional<String> of(String typed, Collection<String> names) {
        return names.stream()
                .min(Comparator.comparingInt(name -> distance(name, typed)))
                .filter(name -> 2 * distance(name, typed) <= Math.max(name.length(), typed.length()));
    }

    private static int distance(String one, String other) {
        int[] row = IntStream.rangeClosed(0, other.length()).toArray();
        for (int i = 1; i <= one.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= other.length(); j++) {
                int replaced = diagonal + (one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[other.length()];
    }
}
