package io.upliftstream.job;

import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.base.source.reader.SourceReaderOptions;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.KafkaSourceOptions;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Camera frames from Kafka, through the model, to dense records on Kafka.
 *
 * <pre>{@code
 * flink run uplift-stream-flink-job-0.1.0-job.jar --config job.yaml uplift.mode=live
 * }</pre>
 *
 * <p>One chain without a shuffle: the order of a camera in its partition is the order of its results.
 */
public final class DenseVisionJob {
    private static final Logger LOG = LoggerFactory.getLogger(DenseVisionJob.class);

    /** A batch that was small on its way may be unpacked to a hundred times its size, and a poll unpacks what it returns. */
    private static final int MAX_POLL_RECORDS = 1;

    /** Polls whose records wait before the operator: prefetched, held by the fetcher, queued, and being read. */
    private static final int POLLS = 4;

    /** Checkpoints in a row that may fail until the job is restarted. */
    private static final int TOLERATED_CHECKPOINT_FAILURES = 10;

    private DenseVisionJob() {}

    /**
     * Runs the job.
     *
     * @param args {@code [--config FILE] [key=value …]}
     */
    public static void main(String[] args) throws Exception {
        Path file = null;
        List<String> assignments = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            if (!args[i].startsWith("--")) {
                assignments.add(args[i]);
            } else if (args[i].equals("--config") && i + 1 < args.length) {
                file = Path.of(args[++i]);
            } else {
                throw new StartupException(
                        StartupException.CONFIGURATION,
                        "argument: %s (expected: --config FILE or key=value)".formatted(args[i]));
            }
        }
        JobSettings settings = JobSettings.load(file, System.getenv(), assignments);
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        definePipeline(env, settings);
        env.execute("uplift-stream");
    }

    /**
     * Checks bundle, Kafka and, if there is one, the schema registry, then defines the job between the topics of the settings.
     *
     * @return the offset after the last frame of each partition; empty if the job does not end by itself
     * @throws StartupException if bundle, broker, topics or registry are not as the settings say
     */
    public static Map<TopicPartition, Long> definePipeline(StreamExecutionEnvironment env, JobSettings settings) {
        List<HeadSpec> heads = heads(settings);
        Map<String, Integer> topicLimits = KafkaPreflight.check(settings, heads);
        settings.claimCheckDirectory()
                .ifPresent(directory -> ClaimCheck.probe(directory, settings.get(OutputOptions.CLAIM_CHECK_TIMEOUT)));
        // A command may bring heads of any kind.
        List<HeadKind> kinds = settings.controlTopic().isPresent()
                ? List.of(HeadKind.values())
                : heads.stream().map(HeadSpec::kind).toList();
        Framing framing = Framing.of(settings, settings.outputRecords(kinds));
        LOG.info("settings beside the defaults: {}", settings);
        Map<TopicPartition, Long> ends = ends(settings);
        TopicLimits limits = again -> again ? KafkaPreflight.limits(settings, topicLimits) : topicLimits;
        definePipeline(env, source(settings, ends), sink(settings), settings, limits, framing, FrameEngine::ofBundle);
        return ends;
    }

    /** Defines the job between the topics of the settings, with models of another kind, and checks nothing. */
    public static void definePipeline(
            StreamExecutionEnvironment env, JobSettings settings, FrameEngine.Factory engines) {
        definePipeline(env, source(settings), sink(settings), settings, Map.of(), Framing.SINGLE_OBJECT, engines);
    }

    /**
     * Defines the job between any source and sink.
     *
     * @param topicLimits the largest record of each output topic in bytes, where it is known
     * @param framing of the output records
     * @param engines makes the subtasks' models: {@link FrameEngine#ofBundle}, but in a test
     */
    public static void definePipeline(
            StreamExecutionEnvironment env,
            Source<RawFrame, ?, ?> source,
            Sink<OutputMessage> sink,
            JobSettings settings,
            Map<String, Integer> topicLimits,
            Framing framing,
            FrameEngine.Factory engines) {
        definePipeline(env, source, sink, settings, again -> topicLimits, framing, engines);
    }

    private static void definePipeline(
            StreamExecutionEnvironment env,
            Source<RawFrame, ?, ?> source,
            Sink<OutputMessage> sink,
            JobSettings settings,
            TopicLimits topicLimits,
            Framing framing,
            FrameEngine.Factory engines) {
        configure(env, settings);
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "camera frames", RawFrame.TYPE)
                .uid("camera-frames")
                .transform(
                        "dense inference",
                        OutputMessage.TYPE,
                        new DenseInferenceOperator.Factory(
                                settings, topicLimits, framing, engines, SteadyClock.ofMachine(), control(settings)))
                .uid("dense-inference")
                .sinkTo(sink)
                .name("records")
                .uid("records");
    }

    /** The control topic from now on; null if the job takes no commands. */
    private static @Nullable ModelControl control(JobSettings settings) {
        String topic = settings.controlTopic().orElse(null);
        if (topic == null) {
            return null;
        }
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            long end = topics.ends(topic).getOrDefault(new TopicPartition(topic, 0), 0L);
            return new ControlTopic(settings, topic, end);
        }
    }

    private static Map<TopicPartition, Long> ends(JobSettings settings) {
        if (settings.get(InputOptions.INPUT_STOP) == InputOptions.StopAt.NEVER) {
            return Map.of();
        }
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            return topics.ends(settings.get(InputOptions.INPUT_TOPIC));
        }
    }

    /** The source: frames on the input topic. */
    public static Source<RawFrame, ?, ?> source(JobSettings settings) {
        return source(settings, ends(settings));
    }

    @SuppressWarnings("deprecation") // the connector still asks for Kafka's OffsetResetStrategy
    private static Source<RawFrame, ?, ?> source(JobSettings settings, Map<TopicPartition, Long> ends) {
        Properties properties = settings.kafkaProperties();
        // Large frames would fill the heap: all polls on their way together fetch as much as the queue holds.
        String fetch = String.valueOf(Math.min(
                Integer.MAX_VALUE, settings.get(ServingOptions.QUEUE_MAX_BYTES).getBytes() / POLLS));
        properties.putIfAbsent(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, fetch);
        properties.putIfAbsent(ConsumerConfig.FETCH_MAX_BYTES_CONFIG, fetch);
        properties.putIfAbsent(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, String.valueOf(MAX_POLL_RECORDS));
        properties.putIfAbsent(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.putIfAbsent(SourceReaderOptions.ELEMENT_QUEUE_CAPACITY.key(), "1");
        properties.putIfAbsent( // the connector's own default is five minutes
                KafkaSourceOptions.PARTITION_DISCOVERY_INTERVAL_MS.key(),
                String.valueOf(settings.get(InputOptions.PARTITION_DISCOVERY).toMillis()));
        LOG.info(
                "memory: a subtask holds at most {} of frames, packets and pictures, and {} fetched from each broker",
                settings.get(ServingOptions.QUEUE_MAX_BYTES).toHumanReadableString(),
                new MemorySize(POLLS * Long.parseLong(properties.getProperty(ConsumerConfig.FETCH_MAX_BYTES_CONFIG)))
                        .toHumanReadableString());
        OffsetsInitializer start =
                switch (settings.start()) {
                    case EARLIEST -> OffsetsInitializer.earliest();
                    case LATEST -> OffsetsInitializer.latest();
                    case AGE ->
                        OffsetsInitializer.timestamp(System.currentTimeMillis()
                                - settings.get(InputOptions.INPUT_START_AGE).toMillis());
                    default -> // GROUP: what AUTO means was decided
                        // committedOffsets() would leave a marker in the state of a partition without a record, and
                        // whatever is committed, or last, when the job is restored would be taken for it.
                        OffsetsInitializer.offsets(
                                Map.of(),
                                settings.get(ServingOptions.MODE) == Mode.LOSSLESS
                                        ? OffsetResetStrategy.EARLIEST
                                        : OffsetResetStrategy.LATEST);
                };
        KafkaSourceBuilder<RawFrame> source = KafkaSource.<RawFrame>builder()
                .setProperties(properties)
                .setTopics(settings.get(InputOptions.INPUT_TOPIC))
                .setGroupId(settings.get(InputOptions.GROUP_ID))
                .setStartingOffsets(start)
                .setDeserializer(new RawFrame.Deserializer());
        if (!ends.isEmpty()) {
            source.setBounded(OffsetsInitializer.offsets(ends));
        }
        return new FrameSource(source.build(), ends);
    }

    /** The sink: records on all output topics. */
    public static Sink<OutputMessage> sink(JobSettings settings) {
        Properties properties = settings.kafkaProperties();
        long record = settings.get(OutputOptions.OUTPUT_MAX_BYTES).getBytes();
        properties.setProperty(
                ProducerConfig.MAX_REQUEST_SIZE_CONFIG, String.valueOf(record)); // what the size guard knows
        properties.putIfAbsent(
                ProducerConfig.LINGER_MS_CONFIG, "0"); // records come one frame at a time, none to wait for
        properties.putIfAbsent(ProducerConfig.BUFFER_MEMORY_CONFIG, String.valueOf(Math.max(2 * record, 32 << 20)));
        properties.putIfAbsent(
                ProducerConfig.TRANSACTION_TIMEOUT_CONFIG,
                String.valueOf(settings.transactionTimeout().toMillis()));
        return KafkaSink.<OutputMessage>builder()
                .setKafkaProducerConfig(properties)
                .setBootstrapServers(settings.get(InputOptions.BOOTSTRAP_SERVERS))
                .setDeliveryGuarantee(settings.delivery())
                .setTransactionalIdPrefix(settings.get(ServingOptions.TRANSACTIONAL_ID_PREFIX))
                .setRecordSerializer(new OutputMessage.ToRecord())
                .build();
    }

    private static List<HeadSpec> heads(JobSettings settings) {
        try {
            ModelBundle bundle = ModelBundle.load(settings.bundle());
            settings.checkPin(bundle);
            return bundle.heads();
        } catch (BundleException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
    }

    private static void configure(StreamExecutionEnvironment env, JobSettings settings) {
        Configuration flink = settings.flinkConfiguration();
        flink.set(PipelineOptions.GENERIC_TYPES, false); // Kryo would be a mistake
        flink.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, settings.get(ServingOptions.CHECKPOINT_INTERVAL));
        flink.set(
                CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE,
                settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE
                        ? CheckpointingMode.EXACTLY_ONCE
                        : CheckpointingMode.AT_LEAST_ONCE);
        if (settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE) {
            flink.set(CheckpointingOptions.CHECKPOINTING_TIMEOUT, settings.checkpointTimeout());
        }
        // Who cancels a job may want to start it again, and all else is repeated then.
        setDefault(
                flink,
                env,
                CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION,
                ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
        // A restart makes no room on a full disk, but has every frame since the last checkpoint worked on again.
        setDefault(flink, env, CheckpointingOptions.TOLERABLE_FAILURE_NUMBER, TOLERATED_CHECKPOINT_FAILURES);
        // The JobManager's memory, Flink's default, holds 5 MB and is gone with it.
        flink.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        String directory = settings.checkpointDirectory()
                .or(() -> Optional.ofNullable(env.getConfiguration().get(CheckpointingOptions.CHECKPOINTS_DIRECTORY)))
                .orElseGet(() -> StateDirectory.of("checkpoints").toUri().toString());
        flink.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, directory);
        env.configure(flink);
        env.setParallelism(settings.get(ServingOptions.PARALLELISM));
    }

    /** Sets an option of Flink's that neither the job nor the cluster says anything about. */
    private static <T> void setDefault(
            Configuration flink, StreamExecutionEnvironment env, ConfigOption<T> option, T value) {
        if (!flink.contains(option)
                && env.getConfiguration().getOptional(option).isEmpty()) {
            flink.set(option, value);
        }
    }
}
