package io.upliftstream.tools.cli;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.RegistryOptions;
import io.upliftstream.job.ServingOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whose topics, and on which Kafka: the options of commands that stand beside a job. */
final class KafkaOption {
    /** What commands can be told instead of a setting, for the error when no broker answers. */
    static final String OTHER_BROKER = ", or --bootstrap-servers; uplift kafka is one to try things with";

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "The job's options: topics, Kafka, bundle. YAML, or properties if the name ends so.")
    private @Nullable Path config;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description =
                    "One option; repeatable, wins over the file. For everyone on this machine to see: no passwords.")
    private List<String> set = new ArrayList<>();

    @Option(
            names = "--bootstrap-servers",
            paramLabel = "HOST:PORT",
            description = "The job's Kafka; default: what the job's options say, else localhost:9092.")
    private @Nullable String bootstrapServers;

    @Option(
            names = "--schema-registry",
            paramLabel = "URL",
            description = "The job's schema registry; default: what the job's options say, else none.")
    private @Nullable String schemaRegistry;

    /** The job's settings; the street bundle unless they name another. */
    JobSettings settings() {
        return settings(List.of());
    }

    /** The same with settings of other options, {@code key=value}, which win. */
    JobSettings settings(List<String> more) {
        List<String> assignments = new ArrayList<>(set);
        assignments.addAll(more);
        if (bootstrapServers != null) {
            assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + bootstrapServers);
        }
        if (schemaRegistry != null) {
            assignments.add(RegistryOptions.URL.key() + "=" + schemaRegistry);
        }
        Map<String, String> defaults = Map.of(
                ServingOptions.MODEL_BUNDLE.key(),
                new ModelOption().bundle().toAbsolutePath().toString());
        return JobSettings.load(defaults, config, System.getenv(), assignments);
    }
}
