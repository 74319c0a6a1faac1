package io.upliftstream.job;

/**
 * That a model is to serve.
 *
 * @param commandId of the command that said so; empty for the configured bundle
 * @param bundle URI of its directory; empty for the configured one
 * @param sha256 of its manifest.json; of the configured one, which it had when it was loaded, empty before that
 * @param fromMicros capture time of the first frame that it serves, microseconds since 1970; {@link #NOW} for all
 */
record Activation(String commandId, String bundle, String sha256, long fromMicros) {
    static final long NOW = Long.MIN_VALUE;

    /** The bundle of the settings, whichever that is when it is loaded. */
    static final Activation CONFIGURED = configured("");

    /** The bundle of the settings, which had this hash. */
    static Activation configured(String sha256) {
        return new Activation("", "", sha256, NOW);
    }

    boolean isConfigured() {
        return bundle.isEmpty();
    }

    /** The same model, for all frames. */
    Activation now() {
        return new Activation(commandId, bundle, sha256, NOW);
    }
}
