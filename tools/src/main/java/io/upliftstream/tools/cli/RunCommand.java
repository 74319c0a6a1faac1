package io.upliftstream.tools.cli;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
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
import picocli.CommandLine.Mixin;
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
            "  uplift run --config job.yaml --flink-page               Flink's page, to look at",
            "",
            "job.yaml, for example:",
            "  uplift.kafka.bootstrap-servers: broker:9092",
            "  uplift.model.bundle: /models/street",
            "  uplift.mode: live",
            "  uplift.max-age: 500 ms",
            "Environment variables count too: UPLIFT_KAFKA_BOOTSTRAP_SERVERS=broker:9092. Later sources win: file,",
            "environment, --set. Keys without the prefix uplift. are Flink's own. All options: docs/options.md",
            "Every user of this machine sees a command line: passwords belong in the file (chmod 600) or the environment."
        })
final class RunCommand implements Callable<Integer> {
    private static final Duration PATIENCE = Duration.ofSeconds(50);
    private static final Duration BETWEEN_LOOKS = Duration.ofSeconds(1);

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Options of the job: YAML, or properties if the name ends so.")
    private @Nullable Path config;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description =
                    "One option; repeatable, wins over the file. For everyone on this machine to see: no passwords.")
    private List<String> set = new ArrayList<>();

    @Option(
            names = "--metrics-port",
            paramLabel = "PORT",
            description = "Metrics for Prometheus on this port; docs/operations.md names them. Default: none.")
    private @Nullable Integer metricsPort;

    @Option(
            names = "--metrics-host",
            paramLabel = "HOST",
            defaultValue = "127.0.0.1",
            description = "Address for that; 0.0.0.0 lets every machine ask that reaches this one. Default:"
                    + " ${DEFAULT-VALUE}.")
    private String metricsHost = "127.0.0.1";

    @Mixin
    private FlinkPageOption flinkPage = new FlinkPageOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws IOException {
        checks.require(
                metricsPort == null || (metricsPort >= 1 && metricsPort <= 65535),
                "--metrics-port",
                metricsPort,
                "1 to 65535");
        Integer pagePort = flinkPage.port(checks);
        JobSettings settings = JobSettings.load(config, System.getenv(), set);
        Configuration flinkConfiguration = settings.flinkConfiguration();
        if (metricsPort != null) {
            reportMetrics(flinkConfiguration, metricsPort);
        }
        if (pagePort != null) {
            EmbeddedFlink.showPage(flinkConfiguration, pagePort);
        }
        try (EmbeddedFlink flink = new EmbeddedFlink(flinkConfiguration, settings.get(ServingOptions.PARALLELISM))) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            EmbeddedFlink.Job job = flink.submit(env);
            StatusLine status = new StatusLine(System.out, StatusLine.columns());
            status.say("The job runs from topic %s on %s; Ctrl-C stops it."
                    .formatted(settings.get(InputOptions.INPUT_TOPIC), settings.get(InputOptions.BOOTSTRAP_SERVERS)));
            if (pagePort != null) {
                status.say("Flink's page: " + flink.webPage());
            }
            status.say("Listening: " + flink.listeners()
                    + (metricsPort == null ? "" : ", metrics at %s:%d".formatted(metricsHost, metricsPort)));
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

    private void reportMetrics(Configuration configuration, int port) {
        try {
            EmbeddedFlink.reportMetrics(configuration, metricsHost, port);
        } catch (IOException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "metrics: %s:%d: %s (expected: an address of this machine and a port that is free)"
                            .formatted(metricsHost, port, e.getMessage()),
                    e);
        }
    }
}
