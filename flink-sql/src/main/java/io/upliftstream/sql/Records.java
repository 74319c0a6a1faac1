package io.upliftstream.sql;

import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.PayloadStore;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SchemaRegistry;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.Serializable;
import java.net.URI;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.fs.Path;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.api.ValidationException;
import org.jspecify.annotations.Nullable;

/**
 * Reads the records in a column, in either framing, with what they refer to in its place. Follows the rule of
 * {@link UpliftModule}. For one thread.
 */
final class Records implements Serializable {
    static final ConfigOption<String> REGISTRY_URL = ConfigOptions.key("schema-registry.url")
            .stringType()
            .noDefaultValue()
            .withDescription("A schema registry with Confluent's interface, such as http://registry:8081.");

    static final ConfigOption<String> REGISTRY_USER = ConfigOptions.key("schema-registry.user")
            .stringType()
            .noDefaultValue()
            .withDescription("Whose password it is (HTTP basic authentication).");

    static final ConfigOption<String> REGISTRY_PASSWORD = ConfigOptions.key("schema-registry.password")
            .stringType()
            .noDefaultValue()
            .withDescription("The user's.");

    static final ConfigOption<String> REGISTRY_TOKEN = ConfigOptions.key("schema-registry.token")
            .stringType()
            .noDefaultValue()
            .withDescription("Instead of user and password: a token (HTTP bearer authentication).");

    static final ConfigOption<Duration> REGISTRY_TIMEOUT = ConfigOptions.key("schema-registry.timeout")
            .durationType()
            .defaultValue(Duration.ofSeconds(5))
            .withDescription("How long an answer of the registry may take in all.");

    static final ConfigOption<String> CLAIM_CHECK_DIRECTORY = ConfigOptions.key("claim-check.directory")
            .stringType()
            .noDefaultValue()
            .withDescription("Where payloads are that records refer to, on any of Flink's file systems.");

    static final Set<ConfigOption<?>> REGISTRY =
            Set.of(REGISTRY_URL, REGISTRY_USER, REGISTRY_PASSWORD, REGISTRY_TOKEN, REGISTRY_TIMEOUT);

    /** Knows the published schemas, and fetches nothing. */
    static final Records PLAIN = new Records(new Configuration());

    /** Bytes of a payload: those of {@link Grid#MAX_CELLS} floats that could not be compressed. */
    private static final long MAX_BYTES = 5L * Grid.MAX_CELLS;

    private final Configuration options;
    private transient @Nullable RecordDecoder decoder;

    /** @throws ValidationException if a value cannot work anywhere */
    Records(Configuration options) {
        this.options = options;
        String url = options.get(REGISTRY_URL);
        if (url != null && !SchemaRegistry.isUrl(url)) {
            throw new ValidationException(
                    "option %s: %s (expected: %s)".formatted(REGISTRY_URL.key(), url, SchemaRegistry.URL));
        }
        boolean user = options.contains(REGISTRY_USER);
        if (user != options.contains(REGISTRY_PASSWORD) || (user && options.contains(REGISTRY_TOKEN))) {
            throw new ValidationException(
                    "option schema-registry.user (expected: beside it a password, and no token; or none of them)");
        }
    }

    /** What a function makes of a record; null if there are no bytes, or not those of a record that it reads. */
    <R extends SpecificRecord, T> @Nullable T read(
            byte @Nullable [] value, Class<R> type, Function<R, @Nullable T> function) {
        if (value == null) {
            return null;
        }
        try {
            return function.apply(decode(value, type));
        } catch (MalformedRecordException e) {
            return null;
        }
    }

    /**
     * A record of this kind, with what it refers to still elsewhere.
     *
     * @throws MalformedRecordException if the bytes are none
     * @throws TableException if the registry that knows their schema is away
     */
    <R extends SpecificRecord> R decode(byte[] value, Class<R> type) {
        try {
            return decoder().decode(value, type);
        } catch (MalformedRecordException e) {
            throw orAway(e);
        }
    }

    /** A record of whatever kind, likewise. */
    SpecificRecord decode(byte @Nullable [] value) {
        try {
            return decoder().decode(value);
        } catch (MalformedRecordException e) {
            throw orAway(e);
        }
    }

    /**
     * Puts what a record refers to in its place, if there is a place to have it from.
     *
     * @throws MalformedRecordException if it is not there, or other than the record says
     * @throws TableException if the store does not answer, or refuses
     */
    void fetch(SpecificRecord record) {
        String directory = options.get(CLAIM_CHECK_DIRECTORY);
        if (directory == null) {
            return;
        }
        AtomicReference<@Nullable Path> asked = new AtomicReference<>();
        PayloadStore store = name -> {
            Path file = new Path(directory, name);
            asked.set(file);
            return file.getFileSystem().open(file);
        };
        try {
            long unused = Payloads.fetch(record, store, MAX_BYTES, Payloads.PATIENCE);
        } catch (MalformedRecordException e) {
            throw e.getCause() instanceof IOException problem && !missing(asked.get(), problem)
                    ? new TableException(String.valueOf(e.getMessage()), e)
                    : e;
        }
    }

    /** Some stores, such as flink-s3-fs-presto, say only that they cannot read what is not there. */
    private static boolean missing(@Nullable Path file, IOException problem) {
        if (problem instanceof FileNotFoundException || problem instanceof NoSuchFileException) {
            return true;
        } else if (file == null || problem.getCause() instanceof TimeoutException) {
            return false;
        }
        try {
            return !file.getFileSystem().exists(file);
        } catch (IOException | RuntimeException e) { // what a store's client throws, too
            return false;
        }
    }

    /** That nobody answers is no record's fault. */
    private static RuntimeException orAway(MalformedRecordException problem) {
        return problem.getCause() instanceof RegistryException registry && registry.mayPass()
                ? new TableException(String.valueOf(problem.getMessage()), problem)
                : problem;
    }

    private RecordDecoder decoder() {
        if (decoder == null) {
            String url = options.get(REGISTRY_URL);
            decoder = new RecordDecoder(
                    url == null
                            ? null
                            : new SchemaRegistry(
                                    URI.create(url), options.get(REGISTRY_TIMEOUT), authorization(), null));
        }
        return decoder;
    }

    private @Nullable String authorization() {
        String token = options.get(REGISTRY_TOKEN);
        String user = options.get(REGISTRY_USER);
        return token != null
                ? SchemaRegistry.bearer(token)
                : user != null ? SchemaRegistry.basic(user, options.get(REGISTRY_PASSWORD)) : null;
    }

    /** Bytes as numbers from 0 to 255. */
    static int[] unsigned(byte[] bytes) {
        int[] numbers = new int[bytes.length];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = Byte.toUnsignedInt(bytes[i]);
        }
        return numbers;
    }
}
