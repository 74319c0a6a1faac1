package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SchemaRegistry;
import java.net.URI;
import java.time.Duration;
import java.util.Optional;
import javax.net.ssl.SSLContext;
import org.apache.flink.configuration.ConfigOption;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.security.ssl.DefaultSslEngineFactory;
import org.jspecify.annotations.Nullable;

/** The schema registry, if there is one: options of {@link JobSettings}. */
public final class RegistryOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    /** Subjects by topic or by record; Confluent's clients call these TopicNameStrategy and RecordNameStrategy. */
    public enum Subjects {
        TOPIC,
        RECORD
    }

    /** What becomes of input whose schema cannot be had for now. */
    public enum WhenAway {
        AUTO,
        WAIT,
        FAIL
    }

    public static final ConfigOption<String> USER = option("schema-registry.user")
            .stringType()
            .noDefaultValue()
            .withDescription("Whose password it is (HTTP basic authentication).");

    public static final ConfigOption<String> PASSWORD = option("schema-registry.password")
            .stringType()
            .noDefaultValue()
            .withDescription("For the file or the environment, not the command line.");

    public static final ConfigOption<String> TOKEN = option("schema-registry.token")
            .stringType()
            .noDefaultValue()
            .withDescription("Instead of user and password: a token (HTTP bearer authentication).");

    public static final ConfigOption<String> URL = OPTIONS.add(
            option("schema-registry.url")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "A schema registry with Confluent's interface, such as http://registry:8081. With it,"
                                    + " records are written in Confluent's wire format, and input is read in that format, too;"
                                    + " without it, in Avro's single-object encoding. https trusts whom"
                                    + " kafka.properties.ssl.truststore.* say, else whom the JDK trusts."),
            Rule.of(SchemaRegistry.URL, SchemaRegistry::isUrl),
            new Rule<>(
                    (url, settings) -> settings.find(USER).isPresent()
                                    == settings.find(PASSWORD).isPresent()
                            && !(settings.find(USER).isPresent()
                                    && settings.find(TOKEN).isPresent()),
                    settings -> "beside it user and password, or a token, or none of them"));

    static {
        OPTIONS.add(USER);
        OPTIONS.add(PASSWORD);
        OPTIONS.add(TOKEN);
    }

    public static final ConfigOption<Subjects> SUBJECTS = OPTIONS.add(option("schema-registry.subjects")
            .enumType(Subjects.class)
            .defaultValue(Subjects.TOPIC)
            .withDescription("Under which subject a schema is: topic, the topic's name and -value; record, the record's"
                    + " full name, such as io.upliftstream.schemas.SegmentationRecord."));

    public static final ConfigOption<Boolean> REGISTER = OPTIONS.add(option("schema-registry.register")
            .booleanType()
            .defaultValue(true)
            .withDescription("Whether schemas are registered at start where they are not yet; false: they are only"
                    + " looked up, and a start without them ends with a sentence."));

    public static final ConfigOption<Duration> TIMEOUT = OPTIONS.add(
            option("schema-registry.timeout")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(5))
                    .withDescription("How long an answer of the registry may take in all."),
            MILLISECOND);

    public static final ConfigOption<WhenAway> WHEN_AWAY = OPTIONS.add(option("schema-registry.when-away")
            .enumType(WhenAway.class)
            .defaultValue(WhenAway.AUTO)
            .withDescription("What becomes of a frame whose schema is not known yet while the registry does not answer,"
                    + " or lets nobody in: wait, no further frame is read until it does; fail, the frame becomes a"
                    + " failure record; auto: wait in lossless mode, fail in live mode."));

    private RegistryOptions() {}

    /** Whether input waits for a registry that is away, decided by the mode if by nothing else. */
    static boolean waits(JobSettings settings) {
        WhenAway asked = settings.get(WHEN_AWAY);
        return asked == WhenAway.WAIT || (asked == WhenAway.AUTO && settings.get(ServingOptions.MODE) == Mode.LOSSLESS);
    }

    /** The subject of a record's schema. */
    static String subject(JobSettings settings, String topic, String record) {
        return settings.get(SUBJECTS) == Subjects.TOPIC ? topic + "-value" : record;
    }

    /**
     * A client of the registry that the settings name, which asks nothing yet; empty if they name none.
     *
     * @throws StartupException if it could ask nothing
     */
    public static Optional<SchemaRegistry> open(JobSettings settings) {
        return settings.find(URL).map(url -> {
            URI address = URI.create(url);
            return new SchemaRegistry(address, settings.get(TIMEOUT), authorization(settings), tls(address, settings));
        });
    }

    /** A reader of values in either framing, which asks the registry of the settings, if they name one. */
    public static RecordDecoder decoder(JobSettings settings) {
        return new RecordDecoder(open(settings).orElse(null));
    }

    private static @Nullable String authorization(JobSettings settings) {
        Optional<String> token = settings.find(TOKEN).map(String::strip);
        if (token.isPresent()) {
            if (!token.get().matches("[\\x21-\\x7e]+")) {
                throw JobSettings.wrong(TOKEN.key(), "with other characters", "letters, digits and signs of ASCII");
            }
            return SchemaRegistry.bearer(token.get());
        }
        return settings.find(USER)
                .map(user -> SchemaRegistry.basic(user, settings.get(PASSWORD)))
                .orElse(null);
    }

    /** What Kafka's clients make of the same settings: truststore and keystore, of files or of PEM. */
    private static @Nullable SSLContext tls(URI address, JobSettings settings) {
        if (!address.getScheme().equals("https")) {
            return null;
        }
        try (DefaultSslEngineFactory factory = new DefaultSslEngineFactory()) {
            factory.configure(new AdminClientConfig(settings.kafkaProperties()).values());
            return factory.sslContext();
        } catch (KafkaException e) {
            Throwable root = e.getCause() == null ? e : e.getCause();
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "%s: %s (expected: what %sssl.* say)"
                            .formatted(URL.key(), root.getMessage(), JobSettings.KAFKA_PROPERTIES),
                    e);
        }
    }
}
