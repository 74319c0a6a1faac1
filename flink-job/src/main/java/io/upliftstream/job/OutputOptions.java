package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.NOT_EMPTY;
import static io.upliftstream.job.OptionGroup.RECORD_SIZE;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.TensorType;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.MemorySize;

/**
 * Where results and spans go and how they are written: options of {@link JobSettings}.
 *
 * <p>The options do not hold Avro's enums, they only lead to them: Avro leaves thread locals of its classes behind, and in
 * a JobManager, whose threads go on, these would keep the class loader of every job ever started there.
 */
public final class OutputOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    /** The topic of a head whose records are not written. */
    public static final String NO_TOPIC = "none";

    private static final Rule<String> NOT_THE_INPUT = new Rule<>(
            (topic, settings) -> !topic.equals(settings.get(InputOptions.INPUT_TOPIC)),
            settings -> "another topic than " + InputOptions.INPUT_TOPIC.key());

    private static final Rule<String> NOT_OFF =
            Rule.of("a topic; no frame ends without a record", topic -> !topic.equals(NO_TOPIC));

    public static final ConfigOption<String> SEGMENTATION_TOPIC = OPTIONS.add(
            option("output.segmentation.topic")
                    .stringType()
                    .defaultValue("segmentation")
                    .withDescription("Topic of the segmentation heads' records; none switches them off."),
            NOT_EMPTY,
            NOT_THE_INPUT);

    /** How labels are written. */
    public enum MaskFormat {
        RLE,
        PNG,
        RAW_ZSTD;

        MaskEncoding encoding() {
            return MaskEncoding.valueOf(name());
        }

        @Override
        public String toString() {
            return OptionGroup.text(this);
        }
    }

    public static final ConfigOption<MaskFormat> MASK_FORMAT = OPTIONS.add(option("output.segmentation.encoding")
            .enumType(MaskFormat.class)
            .defaultValue(MaskFormat.RLE)
            .withDescription("How labels are written: rle, png or raw-zstd."));

    public static final ConfigOption<Boolean> CONFIDENCE = OPTIONS.add(option("output.segmentation.confidence")
            .booleanType()
            .defaultValue(false)
            .withDescription("Whether segmentation records carry the confidence at every pixel, where the head has it;"
                    + " written as png or raw-zstd."));

    public static final ConfigOption<String> FEATURES_TOPIC = OPTIONS.add(
            option("output.features.topic")
                    .stringType()
                    .defaultValue("features")
                    .withDescription("Topic of the feature heads' records; none switches them off."),
            NOT_EMPTY,
            NOT_THE_INPUT);

    public static final ConfigOption<String> REGRESSION_TOPIC = OPTIONS.add(
            option("output.regression.topic")
                    .stringType()
                    .defaultValue("depth")
                    .withDescription("Topic of the regression heads' records, such as depth; none switches them off."),
            NOT_EMPTY,
            NOT_THE_INPUT);

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

    public static final ConfigOption<TensorDtype> TENSOR_DTYPE = OPTIONS.add(option("output.tensor.dtype")
            .enumType(TensorDtype.class)
            .defaultValue(TensorDtype.FP16)
            .withDescription("How the numbers of features and regressions are written: fp32, fp16 or int8 (with a scale"
                    + " for every channel)."));

    /** How a tensor's bytes are compressed. */
    public enum TensorCompression {
        NONE,
        ZSTD;

        Compression compression() {
            return Compression.valueOf(name());
        }
    }

    public static final ConfigOption<TensorCompression> TENSOR_COMPRESSION =
            OPTIONS.add(option("output.tensor.compression")
                    .enumType(TensorCompression.class)
                    .defaultValue(TensorCompression.ZSTD)
                    .withDescription("How tensors are compressed: none or zstd."));

    public static final ConfigOption<Integer> TENSOR_LEVELS = OPTIONS.add(
            option("output.tensor.levels")
                    .intType()
                    .defaultValue(256)
                    .withDescription(
                            "int8 only: the number of steps that a channel's range is spread over, 2 to 256. Fewer make"
                                    + " smaller records with zstd: 32 take less than half of what 256 take."),
            Rule.of("2 to 256", levels -> levels >= 2 && levels <= 256));

    public static final ConfigOption<String> FAILURES_TOPIC = OPTIONS.add(
            option("output.failures.topic")
                    .stringType()
                    .defaultValue("failures")
                    .withDescription("Topic of the failure records."),
            NOT_EMPTY,
            NOT_OFF,
            NOT_THE_INPUT);

    public static final ConfigOption<String> DROPPED_TOPIC = OPTIONS.add(
            option("output.dropped.topic")
                    .stringType()
                    .defaultValue("dropped")
                    .withDescription("Topic of the drop records."),
            NOT_EMPTY,
            NOT_OFF,
            NOT_THE_INPUT);

    public static final ConfigOption<MemorySize> OUTPUT_MAX_BYTES = OPTIONS.add(
            option("output.max-bytes")
                    .memoryType()
                    .defaultValue(MemorySize.ofMebiBytes(16))
                    .withDescription(
                            "Upper limit of an output record, beside the topic's own max.message.bytes; a result above"
                                    + " either becomes a failure record."),
            RECORD_SIZE);

    public static final ConfigOption<Boolean> CREATE_TOPICS = OPTIONS.add(option("output.create-topics")
            .booleanType()
            .defaultValue(false)
            .withDescription(
                    "Whether missing output topics are created, with the input topic's number of partitions and"
                            + " output.max-bytes as max.message.bytes."));

    public static final ConfigOption<String> CLAIM_CHECK_DIRECTORY = OPTIONS.add(
            option("output.claim-check.directory")
                    .stringType()
                    .noDefaultValue()
                    .withDescription("Where payloads above output.claim-check.above go, under their hashes, while their"
                            + " records refer to them: a directory on any of Flink's file systems, such as"
                            + " s3://bucket/claims. Without it they stay in their records."),
            Rule.of("an absolute path or a URI", directory -> directory.matches("(/|[a-z][a-z0-9+.-]*:/)\\S*")));

    public static final ConfigOption<MemorySize> CLAIM_CHECK_ABOVE = OPTIONS.add(
            option("output.claim-check.above")
                    .memoryType()
                    .defaultValue(MemorySize.ofMebiBytes(1).divide(4))
                    .withDescription("Masks, confidences, tensors and originals of more bytes go to"
                            + " output.claim-check.directory."),
            Rule.of("at most 512 mb", size -> size.getBytes() <= 1 << 29));

    public static final ConfigOption<Duration> CLAIM_CHECK_TIMEOUT = OPTIONS.add(
            option("output.claim-check.timeout")
                    .durationType()
                    .defaultValue(Duration.ofMinutes(1))
                    .withDescription(
                            "Time in which output.claim-check.directory has to take a payload, from its turn on;"
                                    + " others of the frame have their own. Until then it is tried again. Lossless mode: after it the job fails and starts again from its checkpoint."
                                    + " Live mode: after it, or max-age if that is shorter, the frame is let go."),
            MILLISECOND);

    public static final ConfigOption<String> TRACING_ENDPOINT = OPTIONS.add(
            option("tracing.endpoint")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Where a span for every frame and its stages goes, by OpenTelemetry's protocol over HTTP:"
                                    + " a URL such as http://collector:4318/v1/traces. Without it there are none."),
            Rule.of("a URL such as http://collector:4318/v1/traces", url -> url.matches("https?://[^/\\s]+/\\S*")));

    private OutputOptions() {}
}
