package io.upliftstream.job;

import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.TensorType;
import java.io.BufferedReader;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.YamlParserUtils;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.jspecify.annotations.Nullable;

/**
 * Everything that can be said to the job: options under {@code uplift.}, each with a default, all checked when the
 * settings are made.
 *
 * <pre>{@code
 * JobSettings settings = JobSettings.load(Path.of("job.yaml"), System.getenv(), List.of("uplift.mode=live"));
 * Duration maxAge = settings.get(JobSettings.MAX_AGE);
 * }</pre>
 *
 * <p>Sources, the later winning: a file (YAML as Flink reads it, or {@code .properties}); the environment, where
 * {@code uplift.kafka.bootstrap-servers} is {@code UPLIFT_KAFKA_BOOTSTRAP_SERVERS}; assignments {@code key=value}. Keys
 * without the prefix are Flink's own and go to Flink as they are.
 */
public final class JobSettings implements Serializable {
    private static final long serialVersionUID = 1L;

    public static final String PREFIX = "uplift.";

    /** What follows this prefix goes to every Kafka client as it is. */
    public static final String KAFKA_PROPERTIES = PREFIX + "kafka.properties.";

    /** The topic of a head that is not to be written. */
    public static final String NO_TOPIC = "none";

    /** Kafka's brokers refuse a longer transaction unless told otherwise. */
    static final Duration TRANSACTION_TIMEOUT = Duration.ofMinutes(15);

    /** How the value of an input record is read. */
    public enum InputFormat {
        AUTO,
        AVRO,
        IMAGE
    }

    /** Where reading starts. */
    public enum StartFrom {
        AUTO,
        GROUP,
        EARLIEST,
        LATEST,
        AGE
    }

    /** Where reading ends. */
    public enum StopAt {
        NEVER,
        LATEST
    }

    /** Whether a frame may be let go. */
    public enum Mode {
        LOSSLESS,
        LIVE
    }

    /** Which of a camera's waiting frames count in live mode. */
    public enum QueuePolicy {
        OLDEST_FIRST("oldest-first"),
        LATEST_ONLY("latest-only");

        private final String text;

        QueuePolicy(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** The time that a frame's age is counted from. */
    public enum AgeFrom {
        RECORD,
        CAPTURE
    }

    /** What a failure of the job does to the results. */
    public enum Delivery {
        AUTO("auto"),
        EXACTLY_ONCE("exactly-once"),
        AT_LEAST_ONCE("at-least-once");

        private final String text;

        Delivery(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    // Options do not hold Avro's enums, they only lead to them: Avro leaves thread locals of its classes behind, and in
    // a
    // JobManager, whose threads go on, these would keep the class loader of every job ever started there.

    /** How labels are written. */
    public enum MaskFormat {
        RLE("rle"),
        PNG("png"),
        RAW_ZSTD("raw-zstd");

        private final String text;

        MaskFormat(String text) {
            this.text = text;
        }

        MaskEncoding encoding() {
            return MaskEncoding.valueOf(name());
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** How the numbers of features and regressions are written. */
    public enum TensorDtype {
        FP32,
        FP16,
        INT8;

        TensorType type() {
            return switch (this) {
                case FP32 -> TensorType.FLOAT32;
                case FP16 -> TensorType.FLOAT16;
                case INT8 -> TensorType.INT8;
            };
        }
    }

    /** How a tensor's bytes are compressed. */
    public enum TensorCompression {
        NONE,
        ZSTD;

        Compression compression() {
            return Compression.valueOf(name());
        }
    }

    public static final ConfigOption<String> BOOTSTRAP_SERVERS = option("kafka.bootstrap-servers")
            .stringType()
            .defaultValue("localhost:9092")
            .withDescription("Kafka brokers to begin with: host:port, separated by commas.");

    public static final ConfigOption<Duration> KAFKA_TIMEOUT = option("kafka.timeout")
            .durationType()
            .defaultValue(Duration.ofSeconds(5))
            .withDescription("How long the checks at start wait for an answer from Kafka.");

    public static final ConfigOption<String> INPUT_TOPIC = option("input.topic")
            .stringType()
            .defaultValue("camera-frames")
            .withDescription("Topic of the frames; key = camera id.");

    public static final ConfigOption<InputFormat> INPUT_FORMAT = option("input.format")
            .enumType(InputFormat.class)
            .defaultValue(InputFormat.AUTO)
            .withDescription("What an input record's value is: avro, a CameraFrame in single-object encoding; image, a"
                    + " bare JPEG or PNG; auto, either, told apart by the first bytes.");

    public static final ConfigOption<String> GROUP_ID = option("input.group-id")
            .stringType()
            .defaultValue("uplift-stream")
            .withDescription("Kafka consumer group; checkpoints commit their offsets under this name.");

    public static final ConfigOption<StartFrom> INPUT_START = option("input.start")
            .enumType(StartFrom.class)
            .defaultValue(StartFrom.AUTO)
            .withDescription("Where a job without a checkpoint starts: earliest; latest; age, at the frames recorded"
                    + " within the last start-age; group, where the group left off, else at the beginning (lossless) or"
                    + " the end (live); auto: group in lossless mode, latest in live mode.");

    public static final ConfigOption<Duration> INPUT_START_AGE = option("input.start-age")
            .durationType()
            .defaultValue(Duration.ofSeconds(1))
            .withDescription("input.start=age: frames this old or younger when the job is started are read.");

    public static final ConfigOption<StopAt> INPUT_STOP = option("input.stop")
            .enumType(StopAt.class)
            .defaultValue(StopAt.NEVER)
            .withDescription("never: the job runs until it is stopped; latest: it ends after the frames that are on the"
                    + " topic when it starts.");

    public static final ConfigOption<MemorySize> FRAME_MAX_BYTES = option("frame.max-bytes")
            .memoryType()
            .defaultValue(MemorySize.ofMebiBytes(16))
            .withDescription("An input record's value may have so many bytes; a larger one becomes a failure record.");

    public static final ConfigOption<Long> FRAME_MAX_PIXELS = option("frame.max-pixels")
            .longType()
            .defaultValue(FrameDecoder.DEFAULT_MAX_PIXELS)
            .withDescription("An image may have so many pixels; a larger one becomes a failure record before any pixel"
                    + " is decoded.");

    public static final ConfigOption<Mode> MODE = option("mode")
            .enumType(Mode.class)
            .defaultValue(Mode.LOSSLESS)
            .withDescription("lossless: every frame gets a result or a failure record, and lag grows in Kafka under"
                    + " overload; live: a frame older than max-age is let go and counted in a drop record.");

    public static final ConfigOption<Duration> MAX_AGE = option("max-age")
            .durationType()
            .defaultValue(Duration.ofSeconds(1))
            .withDescription("Live mode: age up to which a frame goes to the model.");

    public static final ConfigOption<AgeFrom> AGE_FROM = option("age-from")
            .enumType(AgeFrom.class)
            .defaultValue(AgeFrom.RECORD)
            .withDescription("Time that ages are counted from: record, the Kafka record's timestamp; capture, the"
                    + " camera's capture time, which needs clocks that agree.");

    public static final ConfigOption<Delivery> DELIVERY = option("delivery")
            .enumType(Delivery.class)
            .defaultValue(Delivery.AUTO)
            .withDescription(
                    "exactly-once: results are visible to read_committed consumers at the next checkpoint, each"
                            + " once; at-least-once: visible at once, repeated after a failure; auto: exactly-once in lossless"
                            + " mode, at-least-once in live mode.");

    public static final ConfigOption<String> TRANSACTIONAL_ID_PREFIX = option("transactional-id-prefix")
            .stringType()
            .defaultValue("uplift-stream")
            .withDescription("Exactly-once: first part of the names of Kafka transactions. Different for every job on"
                    + " one Kafka, and the same when a job is started again.");

    public static final ConfigOption<String> MODEL_BUNDLE = option("model.bundle")
            .stringType()
            .noDefaultValue()
            .withDescription("Directory of the model bundle: the same path where the job is started and where it runs."
                    + " Must be set.");

    public static final ConfigOption<String> MODEL_SHA256 = option("model.sha256")
            .stringType()
            .noDefaultValue()
            .withDescription("SHA-256 of the bundle's manifest.json, which lists every other file's; another bundle is"
                    + " refused. Without it, any bundle is served that agrees with its own manifest.");

    public static final ConfigOption<String> MODEL_DEVICE = option("model.device")
            .stringType()
            .defaultValue(ModelOptions.AUTO.device())
            .withDescription("auto, cpu, cuda or cuda:n.");

    public static final ConfigOption<String> MODEL_PRECISION = option("model.precision")
            .stringType()
            .defaultValue(ModelOptions.AUTO.precision())
            .withDescription("auto (the fastest floating point that the device has instructions for), fp32, bf16, fp16"
                    + " or int8 (of a bundle exported with --int8).");

    public static final ConfigOption<Integer> MODEL_THREADS = option("model.threads")
            .intType()
            .defaultValue(ModelOptions.AUTO.threads())
            .withDescription("Threads of one operator inside PyTorch on a CPU; 0 chooses. The first model of a process"
                    + " decides.");

    public static final ConfigOption<Integer> MODEL_MAX_BATCH = option("model.max-batch")
            .intType()
            .defaultValue(ModelOptions.AUTO.maxBatch())
            .withDescription("Frames per call of the model; 0 chooses: 1 on a CPU, else the bundle's maximum.");

    public static final ConfigOption<Duration> MODEL_TIMEOUT = option("model.timeout")
            .durationType()
            .defaultValue(Duration.ofSeconds(30))
            .withDescription("Time one call of the model may take. After it, the call's frames become failure records"
                    + " and another worker takes over; when a second call hangs while the first still does, the process"
                    + " ends with exit code 75, for the cluster to start it again.");

    public static final ConfigOption<Integer> QUEUE_CAPACITY = option("queue.capacity")
            .intType()
            .defaultValue(0)
            .withDescription("Frames at the model per subtask; 0 chooses three batches, in live mode two. A checkpoint"
                    + " waits until they are done.");

    public static final ConfigOption<MemorySize> QUEUE_MAX_BYTES = option("queue.max-bytes")
            .memoryType()
            .defaultValue(MemorySize.ofMebiBytes(64))
            .withDescription("Encoded frames, waiting or at the model, per subtask; as much again may be fetched from"
                    + " Kafka ahead, per broker. Above it, lossless mode reads no further; live mode lets the oldest"
                    + " frame go of the camera with the most bytes.");

    public static final ConfigOption<QueuePolicy> QUEUE_POLICY = option("queue.policy")
            .enumType(QueuePolicy.class)
            .defaultValue(QueuePolicy.OLDEST_FIRST)
            .withDescription("Live mode: oldest-first, a camera's frames in their order, as long as they are within"
                    + " max-age; latest-only, a frame that waits is let go when a newer one of its camera comes.");

    public static final ConfigOption<Integer> QUARANTINE_RESTARTS = option("quarantine.restarts")
            .intType()
            .defaultValue(3)
            .withDescription("After so many restarts at the same offset, frames are worked on one at a time until the"
                    + " next checkpoint, and one at which two processes died becomes a failure record; 0 for never.");

    public static final ConfigOption<String> QUARANTINE_DIRECTORY = option("quarantine.directory")
            .stringType()
            .noDefaultValue()
            .withDescription("Where notes for that are kept, a path or URI that outlives the process and that every"
                    + " process which may run the subtask reaches. Without it,"
                    + " $XDG_STATE_HOME/uplift-stream, by default in ~/.local/state.");

    public static final ConfigOption<Integer> PARALLELISM = option("parallelism")
            .intType()
            .defaultValue(1)
            .withDescription("Subtasks; at most the partitions of the input topic. All on one device share its model.");

    public static final ConfigOption<Duration> CHECKPOINT_INTERVAL = option("checkpoint.interval")
            .durationType()
            .defaultValue(Duration.ofSeconds(10))
            .withDescription("Time between checkpoints. With exactly-once delivery, results become visible with them.");

    public static final ConfigOption<String> CHECKPOINT_DIRECTORY = option("checkpoint.directory")
            .stringType()
            .noDefaultValue()
            .withDescription(
                    "Where checkpoints go, as a URI that every part of Flink reaches. Without it, Flink's own"
                            + " execution.checkpointing.dir, else $XDG_STATE_HOME/uplift-stream, by default in ~/.local/state.");

    public static final ConfigOption<String> SEGMENTATION_TOPIC = option("output.segmentation.topic")
            .stringType()
            .defaultValue("segmentation")
            .withDescription("Topic of the segmentation heads' records; none switches them off.");

    public static final ConfigOption<MaskFormat> MASK_FORMAT = option("output.segmentation.encoding")
            .enumType(MaskFormat.class)
            .defaultValue(MaskFormat.RLE)
            .withDescription("How labels are written: rle, png or raw-zstd.");

    public static final ConfigOption<Boolean> CONFIDENCE = option("output.segmentation.confidence")
            .booleanType()
            .defaultValue(false)
            .withDescription("Whether segmentation records carry the confidence at every pixel, where the head has it;"
                    + " written as png or raw-zstd.");

    public static final ConfigOption<String> FEATURES_TOPIC = option("output.features.topic")
            .stringType()
            .defaultValue("features")
            .withDescription("Topic of the feature heads' records; none switches them off.");

    public static final ConfigOption<String> REGRESSION_TOPIC = option("output.regression.topic")
            .stringType()
            .defaultValue("depth")
            .withDescription("Topic of the regression heads' records, such as depth; none switches them off.");

    public static final ConfigOption<TensorDtype> TENSOR_DTYPE = option("output.tensor.dtype")
            .enumType(TensorDtype.class)
            .defaultValue(TensorDtype.FP16)
            .withDescription("How the numbers of features and regressions are written: fp32, fp16 or int8 (with a scale"
                    + " for every channel).");

    public static final ConfigOption<TensorCompression> TENSOR_COMPRESSION = option("output.tensor.compression")
            .enumType(TensorCompression.class)
            .defaultValue(TensorCompression.ZSTD)
            .withDescription("How tensors are compressed: none or zstd.");

    public static final ConfigOption<Integer> TENSOR_LEVELS = option("output.tensor.levels")
            .intType()
            .defaultValue(256)
            .withDescription(
                    "int8 only: the number of steps that a channel's range is spread over, 2 to 256. Fewer make"
                            + " smaller records with zstd: 32 take less than half of what 256 take.");

    public static final ConfigOption<String> FAILURES_TOPIC = option("output.failures.topic")
            .stringType()
            .defaultValue("failures")
            .withDescription("Topic of the failure records.");

    public static final ConfigOption<String> DROPPED_TOPIC = option("output.dropped.topic")
            .stringType()
            .defaultValue("dropped")
            .withDescription("Topic of the drop records.");

    public static final ConfigOption<MemorySize> OUTPUT_MAX_BYTES = option("output.max-bytes")
            .memoryType()
            .defaultValue(MemorySize.ofMebiBytes(16))
            .withDescription("Upper limit of an output record, beside the topic's own max.message.bytes; a result above"
                    + " either becomes a failure record.");

    public static final ConfigOption<Boolean> CREATE_TOPICS = option("output.create-topics")
            .booleanType()
            .defaultValue(false)
            .withDescription(
                    "Whether missing output topics are created, with the input topic's number of partitions and"
                            + " output.max-bytes as max.message.bytes.");

    public static final ConfigOption<String> TRACING_ENDPOINT = option("tracing.endpoint")
            .stringType()
            .noDefaultValue()
            .withDescription("Where a span for every frame and its stages goes, by OpenTelemetry's protocol over HTTP:"
                    + " a URL such as http://collector:4318/v1/traces. Without it there are none.");

    /** Every option, in the order of the reference. */
    public static final List<ConfigOption<?>> OPTIONS = List.of(
            BOOTSTRAP_SERVERS,
            KAFKA_TIMEOUT,
            INPUT_TOPIC,
            INPUT_FORMAT,
            GROUP_ID,
            INPUT_START,
            INPUT_START_AGE,
            INPUT_STOP,
            FRAME_MAX_BYTES,
            FRAME_MAX_PIXELS,
            MODE,
            MAX_AGE,
            AGE_FROM,
            DELIVERY,
            TRANSACTIONAL_ID_PREFIX,
            MODEL_BUNDLE,
            MODEL_SHA256,
            MODEL_DEVICE,
            MODEL_PRECISION,
            MODEL_THREADS,
            MODEL_MAX_BATCH,
            MODEL_TIMEOUT,
            QUEUE_CAPACITY,
            QUEUE_MAX_BYTES,
            QUEUE_POLICY,
            QUARANTINE_RESTARTS,
            QUARANTINE_DIRECTORY,
            PARALLELISM,
            CHECKPOINT_INTERVAL,
            CHECKPOINT_DIRECTORY,
            SEGMENTATION_TOPIC,
            MASK_FORMAT,
            CONFIDENCE,
            FEATURES_TOPIC,
            REGRESSION_TOPIC,
            TENSOR_DTYPE,
            TENSOR_COMPRESSION,
            TENSOR_LEVELS,
            FAILURES_TOPIC,
            DROPPED_TOPIC,
            OUTPUT_MAX_BYTES,
            CREATE_TOPICS,
            TRACING_ENDPOINT);

    private final Configuration values;

    private JobSettings(Map<String, String> values) {
        this.values = Configuration.fromMap(values);
        values.keySet().forEach(JobSettings::checkKnown);
        check();
    }

    /**
     * Settings from these keys and values alone.
     *
     * @throws StartupException if a key is not known or a value is not possible
     */
    public static JobSettings of(Map<String, String> values) {
        return new JobSettings(values);
    }

    /**
     * Settings from all sources.
     *
     * @param file YAML, or properties if its name ends so; null for none
     * @param environment such as {@link System#getenv()}
     * @param assignments {@code key=value}
     * @throws StartupException if the file cannot be read, a key is not known or a value is not possible
     */
    public static JobSettings load(
            @Nullable Path file, Map<String, String> environment, Collection<String> assignments) {
        Map<String, String> values = new LinkedHashMap<>();
        if (file != null) {
            values.putAll(read(file));
        }
        values.putAll(fromEnvironment(environment));
        for (String assignment : assignments) {
            int equals = assignment.indexOf('=');
            if (equals < 1) {
                throw wrong("argument", assignment, "key=value");
            }
            values.put(
                    assignment.substring(0, equals).strip(),
                    assignment.substring(equals + 1).strip());
        }
        return new JobSettings(values);
    }

    /** The value of an option that has a default, or of one that is set. */
    public <T> T get(ConfigOption<T> option) {
        return find(option)
                .orElseThrow(() -> new StartupException(
                        StartupException.CONFIGURATION,
                        option.key() + " is not set (expected: a value, it has no default)"));
    }

    private <T> Optional<T> find(ConfigOption<T> option) {
        try {
            return values.getOptional(option)
                    .or(() -> Optional.ofNullable(option.hasDefaultValue() ? option.defaultValue() : null));
        } catch (IllegalArgumentException e) {
            throw wrong(option.key(), values.toMap().get(option.key()), expected(option));
        }
    }

    /** Whether and where the records of a kind of head go. */
    public Optional<String> topic(HeadKind kind) {
        String topic = get(
                switch (kind) {
                    case SEGMENTATION -> SEGMENTATION_TOPIC;
                    case FEATURES -> FEATURES_TOPIC;
                    case REGRESSION -> REGRESSION_TOPIC;
                });
        return topic.equals(NO_TOPIC) ? Optional.empty() : Optional.of(topic);
    }

    /** The delivery guarantee, decided by the mode if by nothing else. */
    public DeliveryGuarantee delivery() {
        return switch (get(DELIVERY)) {
            case EXACTLY_ONCE -> DeliveryGuarantee.EXACTLY_ONCE;
            case AT_LEAST_ONCE -> DeliveryGuarantee.AT_LEAST_ONCE;
            case AUTO -> get(MODE) == Mode.LOSSLESS ? DeliveryGuarantee.EXACTLY_ONCE : DeliveryGuarantee.AT_LEAST_ONCE;
        };
    }

    /** Where a job without a checkpoint starts, decided by the mode if by nothing else. */
    StartFrom start() {
        StartFrom asked = get(INPUT_START);
        return asked != StartFrom.AUTO ? asked : get(MODE) == Mode.LIVE ? StartFrom.LATEST : StartFrom.GROUP;
    }

    public Path bundle() {
        return Path.of(get(MODEL_BUNDLE));
    }

    public ModelOptions model() {
        try {
            return new ModelOptions(get(MODEL_DEVICE), get(MODEL_PRECISION), get(MODEL_THREADS), get(MODEL_MAX_BATCH));
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
        find(MODEL_SHA256).filter(pin -> !pin.equalsIgnoreCase(bundle.sha256())).ifPresent(pin -> {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "bundle %s: SHA-256 of manifest.json is %s (expected: %s, %s)"
                            .formatted(bundle(), bundle.sha256(), pin, MODEL_SHA256.key()));
        });
    }

    String quarantineDirectory() {
        return find(QUARANTINE_DIRECTORY)
                .orElseGet(() -> StateDirectory.of("quarantine").toUri().toString());
    }

    Optional<String> tracingEndpoint() {
        return find(TRACING_ENDPOINT);
    }

    Optional<String> checkpointDirectory() {
        return find(CHECKPOINT_DIRECTORY);
    }

    /** What every Kafka client is told: the brokers, and the properties that are passed through. */
    public Properties kafkaProperties() {
        Properties properties = new Properties();
        properties.setProperty("bootstrap.servers", get(BOOTSTRAP_SERVERS));
        values.toMap().forEach((key, value) -> {
            if (key.startsWith(KAFKA_PROPERTIES)) {
                properties.setProperty(key.substring(KAFKA_PROPERTIES.length()), value);
            }
        });
        return properties;
    }

    /** The keys that are not under the prefix: Flink's own. */
    public Configuration flinkConfiguration() {
        return Configuration.fromMap(values.toMap().entrySet().stream()
                .filter(entry -> !entry.getKey().startsWith(PREFIX))
                .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)));
    }

    /** What is set beside the defaults, sorted, without secrets. */
    @Override
    public String toString() {
        Map<String, String> shown = new TreeMap<>(values.toMap());
        shown.replaceAll((key, value) -> isSecret(key) ? "******" : value);
        return shown.toString();
    }

    /** Of what goes to Kafka, everything that Kafka does not know to be public. */
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

    private void check() {
        OPTIONS.forEach(this::find);
        if (find(MODEL_BUNDLE).isEmpty()) {
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    MODEL_BUNDLE.key() + " is not set (expected: a bundle's directory, such as model/bundles/street)");
        }
        bundle();
        model();
        for (ConfigOption<String> name : List.of(
                BOOTSTRAP_SERVERS,
                INPUT_TOPIC,
                GROUP_ID,
                TRANSACTIONAL_ID_PREFIX,
                MODEL_BUNDLE,
                SEGMENTATION_TOPIC,
                FEATURES_TOPIC,
                REGRESSION_TOPIC,
                FAILURES_TOPIC,
                DROPPED_TOPIC)) {
            require(!get(name).isBlank(), name, "not empty");
        }
        for (ConfigOption<String> topic : List.of(FAILURES_TOPIC, DROPPED_TOPIC)) {
            require(!get(topic).equals(NO_TOPIC), topic, "a topic; no frame ends without a record");
        }
        for (ConfigOption<String> topic :
                List.of(SEGMENTATION_TOPIC, FEATURES_TOPIC, REGRESSION_TOPIC, FAILURES_TOPIC, DROPPED_TOPIC)) {
            require(!get(topic).equals(get(INPUT_TOPIC)), topic, "another topic than " + INPUT_TOPIC.key());
        }
        require(
                get(FRAME_MAX_BYTES).getBytes() >= 1024 && get(FRAME_MAX_BYTES).getBytes() <= 1 << 29,
                FRAME_MAX_BYTES,
                "1 kb to 512 mb");
        require(
                get(OUTPUT_MAX_BYTES).getBytes() >= 1024
                        && get(OUTPUT_MAX_BYTES).getBytes() <= 1 << 29,
                OUTPUT_MAX_BYTES,
                "1 kb to 512 mb");
        require(get(FRAME_MAX_PIXELS) >= 1, FRAME_MAX_PIXELS, ">= 1");
        require(get(QUARANTINE_RESTARTS) >= 0, QUARANTINE_RESTARTS, ">= 1, or 0 for never");
        find(MODEL_SHA256)
                .ifPresent(pin -> require(pin.matches("[0-9a-fA-F]{64}"), MODEL_SHA256, "64 hexadecimal digits"));
        tracingEndpoint()
                .ifPresent(endpoint -> require(
                        endpoint.matches("https?://[^/\\s]+/\\S*"),
                        TRACING_ENDPOINT,
                        "a URL such as http://collector:4318/v1/traces"));
        require(get(TENSOR_LEVELS) >= 2 && get(TENSOR_LEVELS) <= 256, TENSOR_LEVELS, "2 to 256");
        require(get(PARALLELISM) >= 1, PARALLELISM, ">= 1");
        require(get(QUEUE_CAPACITY) >= 0, QUEUE_CAPACITY, ">= 1, or 0 to choose");
        require(
                get(QUEUE_MAX_BYTES).getBytes() >= 2 * get(FRAME_MAX_BYTES).getBytes(),
                QUEUE_MAX_BYTES,
                ">= twice " + FRAME_MAX_BYTES.key() + ", "
                        + get(FRAME_MAX_BYTES).multiply(2));
        for (ConfigOption<Duration> time : List.of(KAFKA_TIMEOUT, INPUT_START_AGE, MAX_AGE, MODEL_TIMEOUT)) {
            require(get(time).toMillis() >= 1, time, ">= 1 ms");
        }
        require(
                get(CHECKPOINT_INTERVAL).toMillis() >= 10
                        && get(CHECKPOINT_INTERVAL).compareTo(TRANSACTION_TIMEOUT.dividedBy(2)) <= 0,
                CHECKPOINT_INTERVAL,
                "10 ms to half of a Kafka transaction's " + TRANSACTION_TIMEOUT.toMinutes() + " min");
    }

    private <T> void require(boolean holds, ConfigOption<T> option, String expected) {
        if (!holds) {
            throw wrong(
                    option.key(),
                    values.toMap().getOrDefault(option.key(), String.valueOf(option.defaultValue())),
                    expected);
        }
    }

    private static StartupException wrong(String what, @Nullable String found, String expected) {
        return new StartupException(
                StartupException.CONFIGURATION, "%s: %s (expected: %s)".formatted(what, found, expected));
    }

    /** What values an option takes, in words. */
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
        } else if (value instanceof Number) {
            return "a whole number";
        }
        return "a text";
    }

    private static void checkKnown(String key) {
        if (!key.startsWith(PREFIX) || key.startsWith(KAFKA_PROPERTIES)) {
            return;
        }
        List<String> keys = OPTIONS.stream().map(ConfigOption::key).toList();
        if (!keys.contains(key)) {
            String nearest = keys.stream()
                    .min(Comparator.comparingInt(known -> distance(known, key)))
                    .orElseThrow();
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "option: %s is not known (expected: one of the options, perhaps %s)".formatted(key, nearest));
        }
    }

    /** Levenshtein's: the fewest letters to insert, delete or replace. */
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

    private static Map<String, String> fromEnvironment(Map<String, String> environment) {
        Map<String, String> values = new LinkedHashMap<>();
        for (ConfigOption<?> option : OPTIONS) {
            String value = environment.get(environmentName(option.key()));
            if (value != null) {
                values.put(option.key(), value);
            }
        }
        String kafka = environmentName(KAFKA_PROPERTIES);
        environment.forEach((name, value) -> {
            if (name.startsWith(kafka)) {
                // Kafka's own names have dots only
                values.put(
                        KAFKA_PROPERTIES
                                + name.substring(kafka.length())
                                        .toLowerCase(Locale.ROOT)
                                        .replace('_', '.'),
                        value);
            }
        });
        return values;
    }

    /** The environment variable that stands for an option: {@code UPLIFT_INPUT_TOPIC} for {@code uplift.input.topic}. */
    public static String environmentName(String key) {
        return key.toUpperCase(Locale.ROOT).replace('.', '_').replace('-', '_');
    }

    private static Map<String, String> read(Path file) {
        Map<String, String> values = new LinkedHashMap<>();
        if (!Files.isRegularFile(file)) {
            throw wrong("configuration file", file.toString(), "a file that exists");
        }
        try {
            if (file.toString().endsWith(".properties")) {
                Properties properties = new Properties();
                try (BufferedReader reader = Files.newBufferedReader(file)) {
                    properties.load(reader);
                }
                properties.forEach((key, value) -> values.put(key.toString(), value.toString()));
            } else {
                flatten("", YamlParserUtils.loadYamlFile(file.toFile()), values);
            }
        } catch (Exception e) { // the YAML parser's exceptions are shaded
            String problem = String.valueOf(e.getMessage())
                    .lines()
                    .findFirst()
                    .orElse("")
                    .strip();
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "configuration file: %s cannot be read (%s; expected: YAML, or properties if it is named so)"
                            .formatted(file, problem),
                    e);
        }
        return values;
    }

    private static void flatten(String prefix, Map<?, ?> nested, Map<String, String> values) {
        nested.forEach((key, value) -> {
            if (value instanceof Map<?, ?> inner) {
                flatten(prefix + key + ".", inner, values);
            } else {
                values.put(
                        prefix + key,
                        value instanceof Collection ? YamlParserUtils.toYAMLString(value) : String.valueOf(value));
            }
        });
    }

    private static ConfigOptions.OptionBuilder option(String name) {
        return ConfigOptions.key(PREFIX + name);
    }
}
