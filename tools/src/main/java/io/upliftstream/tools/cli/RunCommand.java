package io.upliftstream.tools.cli;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.InputOptions.StartFrom;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.JobProgress;
import io.upliftstream.tools.embedded.JobState;
import io.upliftstream.tools.embedded.JobState.Saved;
import io.upliftstream.tools.stream.StatusLine;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift run}. */
@Command(
        name = "run",
        description = "The job against a Kafka that exists, in a Flink of its own inside this process. Ctrl-C finishes"
                + " and commits what was read, and stops with a savepoint; a second Ctrl-C ends at once. The next run goes on"
                + " from there, or from the last checkpoint if the process was killed: in lossless mode, results come once."
                + " Live mode starts at the latest frame instead, unless uplift.input.start=group.",
        footer = {
            "",
            "Examples:",
            "  uplift run --config job.yaml",
            "  uplift run --bootstrap-servers broker:9092              with the bundle model/bundles/street",
            "  uplift run --config job.yaml --fresh                    as if it ran for the first time",
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

    @Option(
            names = "--fresh",
            description = "Do not go on from the state that the last run of this job left, and remove it.")
    private boolean fresh;

    @Mixin
    private KafkaOption kafka = new KafkaOption();

    @Override
    public Integer call() throws IOException {
        checks.require(
                metricsPort == null || (metricsPort >= 1 && metricsPort <= 65535),
                "--metrics-port",
                metricsPort,
                "1 to 65535");
        Integer pagePort = flinkPage.port(checks);
        JobSettings settings = kafka.settings();
        Configuration flinkConfiguration = settings.flinkConfiguration();
        if (metricsPort != null) {
            reportMetrics(flinkConfiguration, metricsPort);
        }
        if (pagePort != null) {
            EmbeddedFlink.showPage(flinkConfiguration, pagePort);
        }
        StatusLine status = new StatusLine(System.out, StatusLine.columns());
        try (KafkaTopics topics = new KafkaTopics(settings, KafkaOption.OTHER_BROKER)) {
            topics.requireListener();
        }
        try (EmbeddedFlink flink = new EmbeddedFlink(flinkConfiguration, settings.get(ServingOptions.PARALLELISM))) {
            StreamExecutionEnvironment env = flink.environment();
            Map<TopicPartition, Long> ends = DenseVisionJob.definePipeline(env, settings);
            try (JobState state = JobState.lock(settings);
                    RunGroup group = RunGroup.join(settings)) {
                group.warning().ifPresent(status::say);
                Optional<Saved> from = start(settings, state, status);
                env.configure(state.configuration(from));
                StopSignals.lastWords(() -> lastWords(settings, state));
                EmbeddedFlink.Job job = flink.submit(env);
                status.say("Listening: " + flink.listeners()
                        + (metricsPort == null ? "" : ", metrics at %s:%d".formatted(metricsHost, metricsPort)));
                if (pagePort != null) {
                    status.say("Flink's page: " + flink.webPage());
                }
                try {
                    watch(job, settings, state, from, status);
                    end(settings, state, ends, status);
                } catch (InterruptedException e) {
                    status.say("Stopping with a savepoint; Ctrl-C once more ends at once …");
                    job.stop(PATIENCE, state.directory(), false);
                    state.prune(null);
                    status.say("Stopped." + goesOn(settings, state));
                }
                status.say(totals(job));
            }
            return 0;
        }
    }

    /** The state to go on from, as is said. */
    private Optional<Saved> start(JobSettings settings, JobState state, StatusLine status) throws IOException {
        if (fresh) {
            state.clear();
            status.say("Going on from no state, as --fresh says: " + begins(settings));
            return Optional.empty();
        }
        Optional<Saved> newest = state.newest();
        if (newest.isPresent() && !settings.resumes()) {
            state.clear();
            status.say("Live mode leaves the %s of the last run: %s".formatted(newest.get(), begins(settings)));
            return Optional.empty();
        }
        newest.ifPresent(saved -> status.say("Going on from the %s, %s%s"
                .formatted(
                        saved,
                        saved.path(),
                        settings.get(InputOptions.INPUT_START) == StartFrom.AUTO
                                ? ""
                                : " (%s counts with --fresh)".formatted(InputOptions.INPUT_START.key()))));
        return newest;
    }

    private static String begins(JobSettings settings) {
        return "the job begins as %s=%s says."
                .formatted(
                        InputOptions.INPUT_START.key(), settings.start().name().toLowerCase(Locale.ROOT));
    }

    /** Says how the job goes, until it has ended by itself. */
    private static void watch(
            EmbeddedFlink.Job job, JobSettings settings, JobState state, Optional<Saved> from, StatusLine status)
            throws IOException, InterruptedException {
        JobProgress progress = job.progress(settings.get(ServingOptions.AGE_FROM));
        boolean runs = false;
        boolean pruned = false;
        int failed = 0;
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            BrokerWatch broker = new BrokerWatch(settings, topics);
            while (!job.awaitEnd(BETWEEN_LOOKS)) {
                if (!runs && job.isRunning()) {
                    runs = true;
                    status.say("The job runs from topic %s on %s; Ctrl-C stops it."
                            .formatted(
                                    settings.get(InputOptions.INPUT_TOPIC),
                                    settings.get(InputOptions.BOOTSTRAP_SERVERS)));
                }
                pruned = pruned || state.prune(job.id());
                broker.news().ifPresent(status::say);
                if (failed != job.failedTaskManagers()) {
                    failed = job.failedTaskManagers();
                    status.say(
                            "Flink's TaskManager in this process failed, another one was started, and the job goes on"
                                    + " (%d so far; the log says why)".formatted(failed));
                }
                String line = broker.isLost()
                        ? progress.line().replaceFirst("backlog \\d+", "backlog ?") // the last that was known
                        : progress.line();
                String shown = runs ? line : "Loading the model …";
                status.update(() -> shown);
            }
        } catch (IOException e) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            if (runs || from.isEmpty()) {
                throw e;
            }
            throw JobState.unusable(from.get().path(), e);
        }
    }

    /** A job that has ended by itself leaves no state, so its group has to say where the next one goes on. */
    private static void end(JobSettings settings, JobState state, Map<TopicPartition, Long> ends, StatusLine status)
            throws IOException {
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            topics.commit(settings.get(InputOptions.GROUP_ID), ends);
        } catch (StartupException e) {
            status.say("The next run may read frames again: " + e.getMessage());
        }
        state.clear();
        status.say("Done.");
    }

    private static String goesOn(JobSettings settings, JobState state) throws IOException {
        return settings.resumes()
                ? state.newest()
                        .map(saved -> " The next run goes on from the %s.".formatted(saved))
                        .orElse("")
                : "";
    }

    /** What a second signal leaves behind. */
    private static String lastWords(JobSettings settings, JobState state) {
        try {
            if (!settings.resumes()) {
                return "Ended at once: frames that were read and have no record yet get none.";
            }
            String next = "Ended at once. The next run goes on from %s: "
                    .formatted(state.newest().map(saved -> "the " + saved).orElse("where this one began"));
            return next
                    + (settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE
                            ? "nothing is repeated for read_committed readers, for others the results since then."
                            : "the results since then are repeated.");
        } catch (IOException | RuntimeException e) {
            return "Ended at once, and the state of this job cannot be read: " + e.getMessage();
        }
    }

    private static String totals(EmbeddedFlink.Job job) throws IOException {
        Map<String, Long> totals = job.totals();
        return List.of("in", "results", "failures", "dropped").stream()
                .map(name -> "%s %d".formatted(name, totals.getOrDefault("frames." + name, 0L)))
                .collect(Collectors.joining(" · ", "Frames: ", ""));
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
