package io.upliftstream.tools.cli;

import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.ModelOptions;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which model runs, and where: the options that commands share. */
final class ModelOption {
    /** The system property by which the launcher names its directory, where the bundles are. */
    static final String HOME = "uplift.home";

    @Option(
            names = "--bundle",
            paramLabel = "DIR",
            description = "Model bundle; default: model/bundles/street of this repository.")
    private @Nullable Path bundle;

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            defaultValue = "auto",
            description = "auto, cpu, cuda or cuda:n; default: ${DEFAULT-VALUE}.")
    String device = "auto";

    @Option(
            names = "--precision",
            paramLabel = "P",
            defaultValue = "auto",
            description = "auto (the fastest floating point that the device has instructions for), fp32, bf16, fp16"
                    + " or int8; default: ${DEFAULT-VALUE}.")
    String precision = "auto";

    Path bundle() {
        return bundle != null ? bundle : Path.of(System.getProperty(HOME, "."), "model", "bundles", "street");
    }

    /**
     * The same as options of the job.
     *
     * @throws StartupException if a device or a precision is not known
     */
    List<String> assignments() {
        options();
        return List.of(
                ServingOptions.MODEL_BUNDLE.key() + "=" + bundle().toAbsolutePath(),
                ServingOptions.MODEL_DEVICE.key() + "=" + device,
                ServingOptions.MODEL_PRECISION.key() + "=" + precision);
    }

    ModelOptions options() {
        return options(precision);
    }

    /** The same options at another precision. */
    ModelOptions options(String precision) {
        try {
            return new ModelOptions(device, precision, 0);
        } catch (IllegalArgumentException e) {
            throw new StartupException(StartupException.CONFIGURATION, "--" + e.getMessage(), e);
        }
    }
}
