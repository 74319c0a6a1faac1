package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whose topics, and on which Kafka: the options of commands that stand beside a job. */
final class KafkaOption {
    @Option(names = "--config", paramLabel = "FILE", description = "The job's options: topics, Kafka, bundle.")
    private @Nullable Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "One option; repeatable, wins over the file.")
    private List<String> set = new ArrayList<>();

    @Option(
            names = "--bootstrap-servers",
            paramLabel = "HOST:PORT",
            description = "The job's Kafka; default: what the job's options say, else localhost:9092.")
    private @Nullable String bootstrapServers;

    /** The job's settings; the street bundle unless they name another. */
    JobSettings settings() {
        List<String> assignments = new ArrayList<>(set);
        if (bootstrapServers != null) {
            assignments.add(JobSettings.BOOTSTRAP_SERVERS.key() + "=" + bootstrapServers);
        }
        if (config == null
                && !System.getenv().containsKey(JobSettings.environmentName(JobSettings.MODEL_BUNDLE.key()))) {
            assignments.add(0, JobSettings.MODEL_BUNDLE.key() + "=" + new ModelOption().bundle());
        }
        return JobSettings.load(config, System.getenv(), assignments);
    }
}
