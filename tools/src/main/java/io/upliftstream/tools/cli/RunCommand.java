package io.upliftstream.tools.cli;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.JobProgress;
import io.upliftstream.tools.stream.StatusLine;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code uplift run}. */
@Command(
        name = "run",
        description = "The job against a Kafka that exists, in a Flink of its own inside this process. Ctrl-C finishes"
                + " and commits what was read, then stops. The next run goes on from the consumer group's offsets, which"
                + " Flink commits with checkpoints: what was read after the last one before the stop is read again.",
        footer = {
            "",
            "Examples:",
            "  uplift run --config job.yaml",
            "  uplift run --set uplift.kafka.bootstrap-servers=broker:9092 --set uplift.model.bundle=model/bundles/street",
            "  uplift run --config job.yaml --metrics-port 9249        # curl localhost:9249/metrics",
            "",
            "job.yaml, for example:",
            "  uplift.kafka.bootstrap-servers: broker:9092",
            "  uplift.model.bundle: /models/street",
            "  uplift.mode: live",
            "  uplift.max-age: 500 ms",
            "Environment variables count too: UPLIFT_KAFKA_BOOTSTRAP_SERVERS=broker:9092. Later sources win: file,",
            "environment, --set. Keys without the prefix uplift. are Flink's own. All options: docs/options.md"
        })
final class RunCommand implements Callable<Integer> {
    private static final Duration PATIENCE = Duration.ofSeconds(50);
    private static final Duration BETWEEN_LOOKS = Duration.ofSeconds(1);

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Options of the job: YAML, or properties if the name ends so.")
    private @Nullable Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "One option; repeatable, wins over the file.")
    private List<String> set = new ArrayList<>();

    @Option(
            names = "--metrics-port",
            paramLabel = "PORT",
            description = "Metrics for Prometheus on this port, for every machine that reaches this one;"
                    + " docs/operations.md names them. Default: none.")
    private @Nullable Integer metricsPort;

    @Override
    public Integer call() throws IOException {
        JobSettings settings = JobSettings.load(config, System.getenv(), set);
        Configuration flinkConfiguration = settings.flinkConfiguration();
        if (metricsPort != null) {
            EmbeddedFlink.reportMetrics(flinkConfiguration, metricsPort);
        }
        try (EmbeddedFlink flink = new EmbeddedFlink(flinkConfiguration, settings.get(ServingOptions.PARALLELISM))) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            EmbeddedFlink.Job job = flink.submit(env);
            StatusLine status = new StatusLine(System.out, StatusLine.columns());
            status.say("The job runs from topic %s on %s; Flink's page: %s; Ctrl-C stops it."
                    .formatted(
                            settings.get(InputOptions.INPUT_TOPIC),
                            settings.get(InputOptions.BOOTSTRAP_SERVERS),
                            flink.webPage()));
            JobProgress progress = job.progress();
            String line = "Nothing read yet.";
            try {
                while (!job.awaitEnd(BETWEEN_LOOKS)) {
                    String now = progress.line();
                    status.update(() -> now);
                    line = now;
                }
                status.say("Done.");
            } catch (InterruptedException e) {
                status.say(line);
                status.say("Stopping …");
                job.stop(PATIENCE);
                status.say("Stopped.");
            }
            return 0;
        }
    }
}
