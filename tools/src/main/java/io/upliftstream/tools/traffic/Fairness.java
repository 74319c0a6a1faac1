package io.upliftstream.tools.traffic;

import java.util.Collection;

/** How evenly cameras are served. */
public final class Fairness {
    private Fairness() {}

    /**
     * Jain's index (Jain, Chiu and Hawe, 1984): 1 if all have the same, 1/n if one of n has all; 1 if nobody has anything.
     *
     * @param shares what each has, 0 or more
     */
    public static double jain(Collection<Double> shares) {
        double sum = 0;
        double squares = 0;
        for (double share : shares) {
            sum += share;
            squares += share * share;
        }
        return squares == 0 ? 1 : sum * sum / (shares.size() * squares);
    }
}
