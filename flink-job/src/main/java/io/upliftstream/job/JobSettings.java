package io.upliftstream.job;

import io.upliftstream.job.InputOptions.StartFrom;
import io.upliftstream.job.OptionGroup.Rule;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import java.io.Serializable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.jspecify.annotations.Nullable;

/**
 * Everything that can be said to the job: the options of {@link InputOptions}, {@link ServingOptions},
 * {@link OutputOptions}, {@link ControlOptions} and {@link RegistryOptions} under {@code uplift.}, all checked when the
 * settings are made.
 *
 * <pre>{@code
 * JobSettings settings = JobSettings.load(Path.of("job.yaml"), System.getenv(), List.of("uplift.mode=live"));
 * Duration maxAge = settings.get(ServingOptions.MAX_AGE);
 * }</pre>
 *
 * <p>Sources, the later winning: a file (YAML as Flink reads it, or {@code .properties}); the environment, where
 * {@code uplift.kafka.bootstrap-servers} is {@code UPLIFT_KAFKA_BOOTSTRAP_SERVERS}; assignments {@code key=value}. Keys
 * without the prefix are Flink's own and go to Flink as they are, but for a few that the job sets itself, which are refused.
 */
public final class JobSettings implements Serializable {
    private static final long serialVersionUID = 1L;

    public static final String PREFIX = "uplift.";

    /** What follows this prefix goes to every Kafka client as it is. */
    public static final String KAFKA_PROPERTIES = PREFIX + "kafka.properties.";

    private static final List<OptionGroup> GROUPS = List.of(
            InputOptions.OPTIONS,
            VideoOptions.OPTIONS,
            ServingOptions.OPTIONS,
            OutputOptions.OPTIONS,
            ControlOptions.OPTIONS,
            RegistryOptions.OPTIONS);

    /** Every option, in the order of the reference. */
    public static final List<ConfigOption<?>> OPTIONS =
            GROUPS.stream().flatMap(group -> group.options().stream()).toList();

    private final Configuration values;

    private JobSettings(Map<String, String> values) {
        this.values = Configuration.fromMap(values);
        values.keySet().forEach(SettingsSource::checkKnown);
        OPTIONS.forEach(this::find);
        GROUPS.forEach(group -> group.check(this));
        bundle(); // these two have rules of their own
        model();
    }

    /**
     * Settings from these keys and values alone.
     *
     * @throws StartupException if a key is not known or a value is not possible
     */
    public static JobSettings of(Map<String, String> values) {
        return new JobSettings(values);
    }

    /** As {@link #load(Map, Path, Map, Collection)}, without defaults of the caller's. */
    public static JobSettings load(
            @Nullable Path file, Map<String, String> environment, Collection<String> assignments) {
        return load(Map.of(), file, environment, assignments);
    }

    /**
     * Settings from all sources.
     *
     * @param defaults what holds if no source says otherwise
     * @param file YAML, or properties if its name ends so; null for none
     * @param environment such as {@link System#getenv()}
     * @param assignments {@code key=value}
     * @throws StartupException if the file cannot be read, a key is not known or a value is not possible
     */
    public static JobSettings load(
            Map<String, String> defaults,
            @Nullable Path file,
            Map<String, String> environment,
            Collection<String> assignments) {
        Map<String, String> values = new LinkedHashMap<>(defaults);
        values.putAll(SettingsSource.read(file, environment, assignments));
        return new JobSettings(values);
    }

    /** The value of an option that has a default, or of one that is set. */
    public <T> T get(ConfigOption<T> option) {
        return find(option).orElseThrow(() -> notSet(option, "a value, it has no default"));
    }

    /** The value of an option; empty if it has none. */
    <T> Optional<T> find(ConfigOption<T> option) {
        try {
            return values.getOptional(option)
                    .or(() -> Optional.ofNullable(option.hasDefaultValue() ? option.defaultValue() : null));
        } catch (IllegalArgumentException e) {
            throw wrong(option.key(), values.toMap().get(option.key()), expected(option));
        }
    }

    /** The topic of a kind of head's records; empty if they are not written. */
    public Optional<String> topic(HeadKind kind) {
        String topic = get(
                switch (kind) {
                    case SEGMENTATION -> OutputOptions.SEGMENTATION_TOPIC;
                    case FEATURES -> OutputOptions.FEATURES_TOPIC;
                    case REGRESSION -> OutputOptions.REGRESSION_TOPIC;
                });
        return topic.equals(OutputOptions.NO_TOPIC) ? Optional.empty() : Optional.of(topic);
    }

    /** The heads of a model whose records are written: those whose topic is not {@value OutputOptions#NO_TOPIC}. */
    public List<HeadSpec> written(Collection<HeadSpec> heads) {
        return heads.stream().filter(head -> topic(head.kind()).isPresent()).toList();
    }

    /** The topics that a model with these heads is written to, in their order, then those of failures and of drops. */
    public Set<String> outputTopics(Collection<HeadSpec> heads) {
        return outputRecords(heads.stream().map(HeadSpec::kind).toList()).keySet();
    }

    /** The records that a model with such heads is written as, by topic. */
    Map<String, Set<Class<? extends SpecificRecord>>> outputRecords(Collection<HeadKind> heads) {
        Map<String, Set<Class<? extends SpecificRecord>>> records = new LinkedHashMap<>();
        heads.forEach(
                head -> topic(head).ifPresent(topic -> records.computeIfAbsent(topic, unused -> new LinkedHashSet<>())
                        .add(head == HeadKind.SEGMENTATION ? SegmentationRecord.class : FeatureRecord.class)));
        records.computeIfAbsent(get(OutputOptions.FAILURES_TOPIC), unused -> new LinkedHashSet<>())
                .add(FrameFailure.class);
        records.computeIfAbsent(get(OutputOptions.DROPPED_TOPIC), unused -> new LinkedHashSet<>())
                .add(FrameDropped.class);
        return records;
    }

    /** The delivery guarantee, decided by the mode if by nothing else. */
    public DeliveryGuarantee delivery() {
        return switch (get(ServingOptions.DELIVERY)) {
            case EXACTLY_ONCE -> DeliveryGuarantee.EXACTLY_ONCE;
            case AT_LEAST_ONCE -> DeliveryGuarantee.AT_LEAST_ONCE;
            case AUTO ->
                get(ServingOptions.MODE) == Mode.LOSSLESS
                        ? DeliveryGuarantee.EXACTLY_ONCE
                        : DeliveryGuarantee.AT_LEAST_ONCE;
        };
    }

    /**
     * Whether a job that was stopped goes on from its state. In live mode it does only if it is told to start where the group
     * left off: the frames since then are a backlog, and live means now.
     */
    public boolean resumes() {
        return get(ServingOptions.MODE) == Mode.LOSSLESS || start() == StartFrom.GROUP;
    }

    /** Where a job without a checkpoint starts, decided by the mode if by nothing else. */
    public StartFrom start() {
        StartFrom asked = get(InputOptions.INPUT_START);
        return asked != StartFrom.AUTO
                ? asked
                : get(ServingOptions.MODE) == Mode.LIVE ? StartFrom.LATEST : StartFrom.GROUP;
    }

    /** The directory of the model bundle. */
    public Path bundle() {
        return Path.of(get(ServingOptions.MODEL_BUNDLE));
    }

    /** Where and how the model runs. */
    public ModelOptions model() {
        try {
            return new ModelOptions(
                    get(ServingOptions.MODEL_DEVICE),
                    get(ServingOptions.MODEL_PRECISION),
                    get(ServingOptions.MODEL_THREADS),
                    get(ServingOptions.MODEL_MAX_BATCH));
        } catch (IllegalArgumentException e) {
            throw new StartupException(StartupException.CONFIGURATION, PREFIX + "model: " + e.getMessage(), e);
        }
    }

    /**
     * Refuses a bundle that is not the pinned one.
     *
     * @throws StartupException if it is another
     */
    void checkPin(ModelBundle bundle) {
        find(ServingOptions.MODEL_SHA256)
                .filter(pin -> !pin.equalsIgnoreCase(bundle.sha256()))
                .ifPresent(pin -> {
                    throw new StartupException(
                            StartupException.ENVIRONMENT,
                            "bundle %s: SHA-256 of manifest.json is %s (expected: %s, %s)"
                                    .formatted(bundle(), bundle.sha256(), pin, ServingOptions.MODEL_SHA256.key()));
                });
    }

    /** These settings with another bundle, which has to have this hash. */
    JobSettings withBundle(Path directory, String sha256) {
        Map<String, String> other = new LinkedHashMap<>(values.toMap());
        other.put(ServingOptions.MODEL_BUNDLE.key(), directory.toString());
        other.put(ServingOptions.MODEL_SHA256.key(), sha256);
        return new JobSettings(other);
    }

    /** The topic of commands to the running job; empty if it takes none. */
    public Optional<String> controlTopic() {
        return find(ControlOptions.CONTROL_TOPIC);
    }

    /** Where a command's bundle may be: directories, separated by commas. */
    String allowedBundles() {
        return find(ControlOptions.BUNDLES_ALLOWED)
                .orElseGet(() ->
                        String.valueOf(bundle().toAbsolutePath().normalize().getParent()));
    }

    /** Where fetched bundles are kept, if the settings say so. */
    Optional<Path> bundleCache() {
        return find(ControlOptions.CACHE_DIRECTORY).map(Path::of);
    }

    String quarantineDirectory() {
        return find(ServingOptions.QUARANTINE_DIRECTORY)
                .orElseGet(() -> StateDirectory.of("quarantine").toUri().toString());
    }

    /** Where large payloads go; empty if they stay in their records. */
    public Optional<String> claimCheckDirectory() {
        return find(OutputOptions.CLAIM_CHECK_DIRECTORY);
    }

    /** How long a payload is tried to be written: in live mode no longer than a frame may wait. */
    Duration claimCheckPatience() {
        Duration timeout = get(OutputOptions.CLAIM_CHECK_TIMEOUT);
        Duration maxAge = get(ServingOptions.MAX_AGE);
        return get(ServingOptions.MODE) == Mode.LIVE && maxAge.compareTo(timeout) < 0 ? maxAge : timeout;
    }

    Optional<String> tracingEndpoint() {
        return find(OutputOptions.TRACING_ENDPOINT);
    }

    /** Where checkpoints go, as a URI, if the settings say so. */
    public Optional<String> checkpointDirectory() {
        return find(ServingOptions.CHECKPOINT_DIRECTORY)
                .or(() -> flinkConfiguration().getOptional(CheckpointingOptions.CHECKPOINTS_DIRECTORY));
    }

    /** The properties of every Kafka client: the brokers, and what is passed through. */
    public Properties kafkaProperties() {
        Properties properties = new Properties();
        properties.setProperty("bootstrap.servers", get(InputOptions.BOOTSTRAP_SERVERS));
        values.toMap().forEach((key, value) -> {
            if (key.startsWith(KAFKA_PROPERTIES)) {
                properties.setProperty(key.substring(KAFKA_PROPERTIES.length()), value);
            }
        });
        return properties;
    }

    /** The age at which the brokers abort a transaction that results wait in. */
    Duration transactionTimeout() {
        String key = KAFKA_PROPERTIES + ProducerConfig.TRANSACTION_TIMEOUT_CONFIG;
        String millis = values.toMap().get(key);
        try {
            return millis == null ? ServingOptions.TRANSACTION_TIMEOUT : Duration.ofMillis(Integer.parseInt(millis));
        } catch (NumberFormatException e) {
            throw wrong(key, millis, "milliseconds, such as 900000");
        }
    }

    /** How long a checkpoint may take with exactly-once delivery: a third of that, unless Flink's own option is set. */
    Duration checkpointTimeout() {
        return flinkConfiguration()
                .getOptional(CheckpointingOptions.CHECKPOINTING_TIMEOUT)
                .orElseGet(() -> transactionTimeout().dividedBy(3));
    }

    /** The greatest age of a transaction at which a checkpoint may begin: nine tenths of its time, less the checkpoint's. */
    Duration transactionMaxAge() {
        return transactionTimeout().multipliedBy(9).dividedBy(10).minus(checkpointTimeout());
    }

    /** The keys that are not under the prefix: Flink's own. */
    public Configuration flinkConfiguration() {
        return Configuration.fromMap(values.toMap().entrySet().stream()
                .filter(entry -> !entry.getKey().startsWith(PREFIX))
                .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)));
    }

    /** The values that are set, sorted by key, without secrets. */
    @Override
    public String toString() {
        Map<String, String> shown = new TreeMap<>(values.toMap());
        shown.replaceAll((key, value) -> isSecret(key) ? "******" : value);
        return shown.toString();
    }

    /** Whether a value is not to be shown: of what goes to Kafka, everything that Kafka does not know to be public. */
    private static boolean isSecret(String key) {
        if (!key.startsWith(KAFKA_PROPERTIES)) {
            return GlobalConfiguration.isSensitive(key);
        }
        String name = key.substring(KAFKA_PROPERTIES.length());
        return Stream.of(ConsumerConfig.configDef(), ProducerConfig.configDef(), AdminClientConfig.configDef())
                .flatMap(definition -> definition.configKeys().values().stream())
                .filter(known -> known.name.equals(name))
                .noneMatch(known -> known.type != ConfigDef.Type.PASSWORD);
    }

    /** @throws StartupException if the option has a value that breaks the rule */
    <T> void check(ConfigOption<T> option, Rule<T> rule) {
        find(option).filter(value -> !rule.holds().test(value, this)).ifPresent(unused -> {
            String found = values.toMap().getOrDefault(option.key(), String.valueOf(option.defaultValue()));
            throw wrong(option.key(), found, rule.expected().apply(this));
        });
    }

    /** @throws StartupException if the option has no value */
    void checkSet(ConfigOption<?> option, String expected) {
        if (find(option).isEmpty()) {
            throw notSet(option, expected);
        }
    }

    private static StartupException notSet(ConfigOption<?> option, String expected) {
        return new StartupException(
                StartupException.CONFIGURATION, option.key() + " is not set (expected: " + expected + ")");
    }

    static StartupException wrong(String what, @Nullable String found, String expected) {
        return new StartupException(
                StartupException.CONFIGURATION, "%s: %s (expected: %s)".formatted(what, found, expected));
    }

    /** The values that an option takes, in words. */
    public static String expected(ConfigOption<?> option) {
        Object value = option.defaultValue();
        if (value instanceof Enum<?> constant) {
            return Arrays.stream(constant.getDeclaringClass().getEnumConstants())
                    .map(text -> text.toString().toLowerCase(Locale.ROOT))
                    .collect(Collectors.joining(", "));
        } else if (value instanceof Duration) {
            return "a duration such as 500 ms";
        } else if (value instanceof MemorySize) {
            return "a size such as 4 mb";
        } else if (value instanceof Boolean) {
            return "true or false";
        } else if (value instanceof Double) {
            return "a number";
        } else if (value instanceof Number) {
            return "a whole number";
        }
        return "a text";
    }

    /** The environment variable that stands for an option: {@code UPLIFT_INPUT_TOPIC} for {@code uplift.input.topic}. */
    public static String environmentName(String key) {
        return key.toUpperCase(Locale.ROOT).replace('.', '_').replace('-', '_');
    }
}
