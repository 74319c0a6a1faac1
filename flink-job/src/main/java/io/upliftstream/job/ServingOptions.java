package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.NOT_EMPTY;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import io.upliftstream.model.ModelOptions;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.connector.base.DeliveryGuarantee;

/** How frames are served, by which model, and what is kept for a failure: options of {@link JobSettings}. */
public final class ServingOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    /** Kafka's brokers refuse a longer transaction unless told otherwise. */
    static final Duration TRANSACTION_TIMEOUT = Duration.ofMinutes(15);

    /** Whether a frame may be let go. */
    public enum Mode {
        LOSSLESS,
        LIVE
    }

    public static final ConfigOption<Mode> MODE = OPTIONS.add(option("mode")
            .enumType(Mode.class)
            .defaultValue(Mode.LOSSLESS)
            .withDescription("lossless: every frame gets a result or a failure record, and lag grows in Kafka under"
                    + " overload; live: a frame older than max-age is let go and counted in a drop record."));

    public static final ConfigOption<Duration> MAX_AGE = OPTIONS.add(
            option("max-age")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(1))
                    .withDescription("Live mode: age up to which a frame goes to the model."),
            MILLISECOND);

    /** The time that a frame's age is counted from. */
    public enum AgeFrom {
        RECORD,
        CAPTURE
    }

    public static final ConfigOption<AgeFrom> AGE_FROM = OPTIONS.add(option("age-from")
            .enumType(AgeFrom.class)
            .defaultValue(AgeFrom.RECORD)
            .withDescription("Time that ages are counted from: record, the Kafka record's timestamp; capture, the"
                    + " camera's capture time, which needs clocks that agree."));

    /** What a failure of the job does to the results. */
    public enum Delivery {
        AUTO,
        EXACTLY_ONCE,
        AT_LEAST_ONCE;

        @Override
        public String toString() {
            return OptionGroup.text(this);
        }
    }

    public static final ConfigOption<Delivery> DELIVERY = OPTIONS.add(option("delivery")
            .enumType(Delivery.class)
            .defaultValue(Delivery.AUTO)
            .withDescription(
                    "exactly-once: results are visible to read_committed consumers at the next checkpoint, each"
                            + " once; at-least-once: visible at once, repeated after a failure; auto: exactly-once in lossless"
                            + " mode, at-least-once in live mode."));

    public static final ConfigOption<String> TRANSACTIONAL_ID_PREFIX = OPTIONS.add(
            option("transactional-id-prefix")
                    .stringType()
                    .defaultValue("uplift-stream")
                    .withDescription(
                            "Exactly-once: first part of the names of Kafka transactions. Different for every job on"
                                    + " one Kafka, and the same when a job is started again."),
            NOT_EMPTY);

    public static final ConfigOption<String> MODEL_BUNDLE = OPTIONS.required(
            "a bundle's directory, such as model/bundles/street",
            option("model.bundle")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Directory of the model bundle: the same path where the job is started and where it runs."
                                    + " Must be set."),
            NOT_EMPTY);

    public static final ConfigOption<String> MODEL_SHA256 = OPTIONS.add(
            option("model.sha256")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "SHA-256 of the bundle's manifest.json, which lists every other file's; another bundle is"
                                    + " refused. Without it, any bundle is served that agrees with its own manifest."),
            Rule.of("64 hexadecimal digits", pin -> pin.matches("[0-9a-fA-F]{64}")));

    public static final ConfigOption<String> MODEL_DEVICE = OPTIONS.add(option("model.device")
            .stringType()
            .defaultValue(ModelOptions.AUTO.device())
            .withDescription(
                    "auto, cpu, cuda or cuda:n. With auto and cuda the subtasks share several GPUs among them."));

    public static final ConfigOption<String> MODEL_PRECISION = OPTIONS.add(option("model.precision")
            .stringType()
            .defaultValue(ModelOptions.AUTO.precision())
            .withDescription("auto (the fastest floating point that the device has instructions for), fp32, bf16, fp16"
                    + " or int8 (of a bundle exported with --int8)."));

    public static final ConfigOption<Integer> MODEL_THREADS = OPTIONS.add(option("model.threads")
            .intType()
            .defaultValue(ModelOptions.AUTO.threads())
            .withDescription("Threads of one operator inside PyTorch on a CPU; 0 chooses. The first model of a process"
                    + " decides."));

    public static final ConfigOption<Integer> MODEL_MAX_BATCH = OPTIONS.add(option("model.max-batch")
            .intType()
            .defaultValue(ModelOptions.AUTO.maxBatch())
            .withDescription("Frames per call of the model; 0 chooses: 1 on a CPU, else the bundle's maximum."));

    public static final ConfigOption<Duration> MODEL_TIMEOUT = OPTIONS.add(
            option("model.timeout")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(30))
                    .withDescription(
                            "Time one call of the model may take. After it, the call's frames become failure records"
                                    + " and another worker takes over; when a second call hangs while the first still does, the process"
                                    + " ends with exit code 75, for the cluster to start it again."),
            MILLISECOND);

    public static final ConfigOption<Integer> QUEUE_CAPACITY = OPTIONS.add(
            option("queue.capacity")
                    .intType()
                    .defaultValue(0)
                    .withDescription(
                            "Frames at the model per subtask; 0 chooses three batches, in live mode two, and one more where"
                                    + " a GPU computes two at a time. A checkpoint waits until they are done."),
            Rule.of(">= 1, or 0 to choose", frames -> frames >= 0));

    public static final ConfigOption<MemorySize> QUEUE_MAX_BYTES = OPTIONS.add(
            option("queue.max-bytes")
                    .memoryType()
                    .defaultValue(MemorySize.ofMebiBytes(64))
                    .withDescription(
                            "Frames that wait or are at the model, and packets and decoded pictures of videos that wait,"
                                    + " per subtask; as much again may be fetched from Kafka ahead, per broker. Above it,"
                                    + " lossless mode reads no further; live mode lets the oldest frame go of the camera with"
                                    + " the most bytes."),
            new Rule<>(
                    (bytes, settings) -> bytes.getBytes() >= twoFrames(settings).getBytes(),
                    settings -> ">= twice " + InputOptions.FRAME_MAX_BYTES.key() + ", " + twoFrames(settings)));

    /** Which of a camera's waiting frames count in live mode. */
    public enum QueuePolicy {
        OLDEST_FIRST,
        LATEST_ONLY;

        @Override
        public String toString() {
            return OptionGroup.text(this);
        }
    }

    public static final ConfigOption<QueuePolicy> QUEUE_POLICY = OPTIONS.add(option("queue.policy")
            .enumType(QueuePolicy.class)
            .defaultValue(QueuePolicy.OLDEST_FIRST)
            .withDescription("Live mode: oldest-first, a camera's frames in their order, as long as they are within"
                    + " max-age; latest-only, a frame that waits is let go when a newer one of its camera comes."));

    public static final ConfigOption<Integer> QUARANTINE_RESTARTS = OPTIONS.add(
            option("quarantine.restarts")
                    .intType()
                    .defaultValue(3)
                    .withDescription(
                            "After so many restarts at the same offset, frames are worked on one at a time until the"
                                    + " next checkpoint, and one at which two processes died becomes a failure record; 0 for never."),
            Rule.of(">= 1, or 0 for never", restarts -> restarts >= 0));

    public static final ConfigOption<String> QUARANTINE_DIRECTORY = OPTIONS.add(option("quarantine.directory")
            .stringType()
            .noDefaultValue()
            .withDescription("Where notes for that are kept, a path or URI that outlives the process and that every"
                    + " process which may run the subtask reaches. Without it,"
                    + " $XDG_STATE_HOME/uplift-stream, by default in ~/.local/state."));

    public static final ConfigOption<Integer> PARALLELISM = OPTIONS.add(
            option("parallelism")
                    .intType()
                    .defaultValue(1)
                    .withDescription(
                            "Subtasks; at most the partitions of the input topic. All on one device share its model."),
            Rule.of(">= 1", subtasks -> subtasks >= 1));

    public static final ConfigOption<Duration> CHECKPOINT_INTERVAL = OPTIONS.add(
            option("checkpoint.interval")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(10))
                    .withDescription(
                            "Time between checkpoints. With exactly-once delivery, results become visible with them."),
            new Rule<>(
                    (interval, settings) -> interval.toMillis() >= 10
                            && (settings.delivery() != DeliveryGuarantee.EXACTLY_ONCE
                                    || interval.compareTo(
                                                    settings.transactionMaxAge().dividedBy(2))
                                            <= 0),
                    settings -> settings.delivery() != DeliveryGuarantee.EXACTLY_ONCE
                            ? "at least 10 ms"
                            : "10 ms to %d s, half of what a Kafka transaction's %d s leave beside a checkpoint's %d s"
                                    .formatted(
                                            settings.transactionMaxAge()
                                                    .dividedBy(2)
                                                    .toSeconds(),
                                            settings.transactionTimeout().toSeconds(),
                                            settings.checkpointTimeout().toSeconds())));

    public static final ConfigOption<String> CHECKPOINT_DIRECTORY = OPTIONS.add(
            option("checkpoint.directory")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Where checkpoints go, as a URI that every part of Flink reaches. Without it, Flink's own"
                                    + " execution.checkpointing.dir, else $XDG_STATE_HOME/uplift-stream, by default in ~/.local/state."));

    private ServingOptions() {}

    private static MemorySize twoFrames(JobSettings settings) {
        return settings.get(InputOptions.FRAME_MAX_BYTES).multiply(2);
    }
}
