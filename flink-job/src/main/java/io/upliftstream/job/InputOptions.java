package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.NOT_EMPTY;
import static io.upliftstream.job.OptionGroup.RECORD_SIZE;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.ServiceOptions;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.MemorySize;

/** Where frames come from and what a frame may be: options of {@link JobSettings}. */
public final class InputOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    public static final ConfigOption<String> BOOTSTRAP_SERVERS = OPTIONS.add(
            option("kafka.bootstrap-servers")
                    .stringType()
                    .defaultValue("localhost:9092")
                    .withDescription("Kafka brokers to begin with: host:port, separated by commas."),
            NOT_EMPTY);

    public static final ConfigOption<Duration> KAFKA_TIMEOUT = OPTIONS.add(
            option("kafka.timeout")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(5))
                    .withDescription("How long the checks at start wait for an answer from Kafka."),
            MILLISECOND);

    public static final ConfigOption<String> INPUT_TOPIC = OPTIONS.add(
            option("input.topic")
                    .stringType()
                    .defaultValue("camera-frames")
                    .withDescription("Topic of the frames; key = camera id."),
            NOT_EMPTY);

    public static final ConfigOption<Duration> PARTITION_DISCOVERY = OPTIONS.add(
            option("input.partition-discovery")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(30))
                    .withDescription("How often the job asks Kafka for partitions that were added to the input topic;"
                            + " they are read from their beginning. No metric counts their frames before that."),
            MILLISECOND);

    /** What envelope the value of an input record has; the codec of an image is decided by its own first bytes. */
    public enum InputFormat {
        AUTO,
        AVRO,
        IMAGE,
        VIDEO
    }

    public static final ConfigOption<InputFormat> INPUT_FORMAT = OPTIONS.add(option("input.format")
            .enumType(InputFormat.class)
            .defaultValue(InputFormat.AUTO)
            .withDescription(
                    "What an input record's value is: avro, a CameraFrame or VideoPacket in single-object encoding"
                            + " or, where schema-registry.url is set, in Confluent's wire format; image, a bare JPEG or PNG;"
                            + " video, a bare packet of a video; auto, any, told apart by the header video-codec and the first"
                            + " bytes."));

    public static final ConfigOption<String> GROUP_ID = OPTIONS.add(
            option("input.group-id")
                    .stringType()
                    .defaultValue("uplift-stream")
                    .withDescription("Kafka consumer group; checkpoints commit their offsets under this name."),
            NOT_EMPTY);

    /** Where reading starts. */
    public enum StartFrom {
        AUTO,
        GROUP,
        EARLIEST,
        LATEST,
        AGE
    }

    public static final ConfigOption<StartFrom> INPUT_START = OPTIONS.add(option("input.start")
            .enumType(StartFrom.class)
            .defaultValue(StartFrom.AUTO)
            .withDescription("Where a job without a checkpoint starts: earliest; latest; age, at the frames recorded"
                    + " within the last start-age; group, where the group left off, else at the beginning (lossless) or"
                    + " the end (live); auto: group in lossless mode, latest in live mode."));

    public static final ConfigOption<Duration> INPUT_START_AGE = OPTIONS.add(
            option("input.start-age")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(1))
                    .withDescription("input.start=age: frames this old or younger when the job is started are read."),
            MILLISECOND);

    /** Where reading ends. */
    public enum StopAt {
        NEVER,
        LATEST
    }

    public static final ConfigOption<StopAt> INPUT_STOP = OPTIONS.add(option("input.stop")
            .enumType(StopAt.class)
            .defaultValue(StopAt.NEVER)
            .withDescription("never: the job runs until it is stopped; latest: it ends after the frames that are on the"
                    + " topic when it starts."));

    public static final ConfigOption<MemorySize> FRAME_MAX_BYTES = OPTIONS.add(
            option("frame.max-bytes")
                    .memoryType()
                    .defaultValue(MemorySize.ofMebiBytes(16))
                    .withDescription(
                            "An input record's value may have so many bytes; a larger one becomes a failure record."),
            RECORD_SIZE);

    public static final ConfigOption<Long> FRAME_MAX_PIXELS = OPTIONS.add(
            option("frame.max-pixels")
                    .longType()
                    .defaultValue(FrameDecoder.DEFAULT_MAX_PIXELS)
                    .withDescription(
                            "An image may have so many pixels; a larger one becomes a failure record before any pixel"
                                    + " is decoded."),
            Rule.of(">= 1", pixels -> pixels >= 1));

    public static final ConfigOption<Duration> FRAME_TIMEOUT = OPTIONS.add(
            option("frame.timeout")
                    .durationType()
                    .defaultValue(ServiceOptions.DEFAULT_DECODE_TIMEOUT)
                    .withDescription(
                            "Time that decoding one image may take. After it, the frame becomes a failure record and"
                                    + " another thread takes over; when a second decoder, or a call of the model, hangs while the"
                                    + " first still does, the process ends with exit code 75."),
            MILLISECOND);

    private InputOptions() {}
}
