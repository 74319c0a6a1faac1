package io.upliftstream.sql;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import java.io.Serializable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;
import org.jspecify.annotations.Nullable;

/** The options of a model in SQL, named as those of the job that begin with {@code uplift.model} and {@code uplift.frame}. */
final class ModelSettings implements Serializable {
    /** What becomes of an image without a result. */
    enum OnFailure {
        ROW,
        FAIL
    }

    static final ConfigOption<String> BUNDLE = ConfigOptions.key("bundle")
            .stringType()
            .noDefaultValue()
            .withDescription("Directory of the model bundle, the same on every TaskManager.");

    static final ConfigOption<String> SHA256 = ConfigOptions.key("sha256")
            .stringType()
            .noDefaultValue()
            .withDescription("SHA-256 of the bundle's manifest.json; another bundle is refused.");

    static final ConfigOption<String> DEVICE = ConfigOptions.key("device")
            .stringType()
            .defaultValue(ModelOptions.AUTO.device())
            .withDescription("auto, cpu, cuda or cuda:n.");

    static final ConfigOption<String> PRECISION = ConfigOptions.key("precision")
            .stringType()
            .defaultValue(ModelOptions.AUTO.precision())
            .withDescription("auto, fp32, bf16, fp16 or int8.");

    static final ConfigOption<Integer> THREADS = ConfigOptions.key("threads")
            .intType()
            .defaultValue(ModelOptions.AUTO.threads())
            .withDescription("Threads of one operator inside PyTorch on a CPU; 0 chooses.");

    static final ConfigOption<Integer> MAX_BATCH = ConfigOptions.key("max-batch")
            .intType()
            .defaultValue(ModelOptions.AUTO.maxBatch())
            .withDescription("Frames per call of the model; 0 chooses: 1 on a CPU, else the bundle's maximum.");

    static final ConfigOption<Duration> TIMEOUT = ConfigOptions.key("timeout")
            .durationType()
            .defaultValue(Duration.ofSeconds(30))
            .withDescription("Time one call of the model may take; after it, its images have failed.");

    static final ConfigOption<Long> FRAME_MAX_PIXELS = ConfigOptions.key("frame.max-pixels")
            .longType()
            .defaultValue(FrameDecoder.DEFAULT_MAX_PIXELS)
            .withDescription("Larger images have failed before a pixel is decoded.");

    static final ConfigOption<Duration> FRAME_TIMEOUT = ConfigOptions.key("frame.timeout")
            .durationType()
            .defaultValue(ServiceOptions.DEFAULT_DECODE_TIMEOUT)
            .withDescription("Time decoding one image may take.");

    static final ConfigOption<OnFailure> ON_FAILURE = ConfigOptions.key("on-failure")
            .enumType(OnFailure.class)
            .defaultValue(OnFailure.ROW)
            .withDescription(
                    "An image without a result: row, a row whose column failure says why; fail, the job fails.");

    static final Set<ConfigOption<?>> OPTIONAL =
            Set.of(SHA256, DEVICE, PRECISION, THREADS, MAX_BATCH, TIMEOUT, FRAME_MAX_PIXELS, FRAME_TIMEOUT, ON_FAILURE);

    private final Configuration options;

    /** @throws ValidationException if a value cannot work anywhere */
    ModelSettings(Configuration options) {
        this.options = options;
        try {
            service();
        } catch (IllegalArgumentException e) {
            throw new ValidationException("model option " + e.getMessage(), e);
        }
    }

    /** Whether an image without a result fails the job. */
    boolean failsJob() {
        return options.get(ON_FAILURE) == OnFailure.FAIL;
    }

    /**
     * Joins the service of this process that serves the same options, or starts it.
     *
     * @throws BundleException if the bundle cannot be served here, or is another than was asked for
     */
    DenseService acquire() throws BundleException {
        String pin = options.get(SHA256);
        if (pin != null) { // before any of its code runs
            check(pin, ModelBundle.load(Path.of(options.get(BUNDLE))).sha256());
        }
        DenseService service = DenseService.acquire(service());
        try {
            check(pin, service.bundle().sha256());
        } catch (BundleException e) {
            service.close();
            throw e;
        }
        return service;
    }

    private void check(@Nullable String pin, String found) throws BundleException {
        if (pin != null && !pin.equalsIgnoreCase(found)) {
            throw new BundleException("bundle %s: SHA-256 %s (expected: %s, the option sha256)"
                    .formatted(options.get(BUNDLE), found, pin));
        }
    }

    private ServiceOptions service() {
        ModelOptions model = new ModelOptions(
                options.get(DEVICE), options.get(PRECISION), options.get(THREADS), options.get(MAX_BATCH));
        ServiceOptions defaults = new ServiceOptions(Path.of(options.get(BUNDLE)), model);
        return new ServiceOptions(
                defaults.bundle(),
                model,
                options.get(FRAME_MAX_PIXELS),
                defaults.queueCapacity(),
                options.get(TIMEOUT),
                options.get(FRAME_TIMEOUT));
    }
}
