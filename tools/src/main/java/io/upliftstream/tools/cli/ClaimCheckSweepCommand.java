package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.tools.embedded.FileSystems;
import io.upliftstream.tools.stream.ClaimCheckSweep;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.StatusLine;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.util.TimeUtils;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift claim-check sweep}. */
@Command(
        name = "sweep",
        description =
                "Finds the payloads that no record of the job's topics refers to: what a crash left, and those whose"
                        + " records have expired. Says what they are, and with --delete removes them. Reads the topics from their"
                        + " beginning, with what open transactions hold.",
        footer = {
            "",
            "The directory is that of one job, or --topic names the topics of every other that refers to it: what only a",
            "topic refers to that was not named is removed.",
        })
final class ClaimCheckSweepCommand implements Callable<Integer> {
    /** A payload may be there so long before its record is: the time of a transaction, and more. */
    private static final Duration LEAST_AGE = Duration.ofHours(1);

    /** Payloads of one frame, each of which the job may wait for; a mask, its confidence, tensors, and room. */
    private static final int PAYLOADS = 10;

    /** Files that are named one by one. */
    private static final int MAX_SAID = 20;

    @Option(
            names = "--older-than",
            paramLabel = "TIME",
            defaultValue = "1 d",
            description = "Age of what is looked at, from the end of the day of its folder on, such as 12 h or 7 d; at"
                    + " least 1 h, and ten times uplift.output.claim-check.timeout. Default: ${DEFAULT-VALUE}.")
    private String olderThan = "1 d";

    @Option(
            names = "--topic",
            paramLabel = "NAME",
            description =
                    "One more topic whose records refer to the directory, beside those of the options; repeatable.")
    private Set<String> more = new HashSet<>();

    @Option(names = "--delete", description = "Remove them. Without it, they are only listed.")
    private boolean delete;

    @Mixin
    private ClaimCheckOption claimCheck = new ClaimCheckOption();

    @Mixin
    private KafkaOption kafka = new KafkaOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() {
        JobSettings settings = kafka.settings(claimCheck.assignments());
        Duration age = age(settings);
        String directory = settings.claimCheckDirectory()
                .orElseThrow(() -> new StartupException(
                        StartupException.CONFIGURATION,
                        OutputOptions.CLAIM_CHECK_DIRECTORY.key()
                                + " is not set (expected: the directory to sweep, or --claim-check)"));
        FileSystems.load(settings.flinkConfiguration());
        StatusLine status = new StatusLine(System.err, StatusLine.columns());
        Set<String> topics = topics(settings, ", whose records may refer to " + directory, status);
        long kept = 0;
        try {
            ClaimCheckSweep sweep = new ClaimCheckSweep(
                    directory, Instant.now().minus(age), ClaimCheckSweep.BATCH, ClaimCheckSweep.PATIENCE);
            boolean more;
            do {
                more = sweep.list();
                status.say("%s in %s, older than %s%s; reading %s"
                        .formatted(
                                payloads(sweep.unreferenced()),
                                directory,
                                olderThan,
                                more ? ", more after these" : "",
                                String.join(", ", topics)));
                sweep.keepReferenced(settings, topics, line -> status.update(() -> line));
                kept += end(sweep, status);
            } while (more);
        } catch (IOException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "claim check: %s cannot be listed: %s (expected: the directory that the job writes to)"
                            .formatted(directory, e),
                    e);
        }
        return kept == 0 ? 0 : 1;
    }

    /** Those to read. That of a head may be missing: the job needs none where its model has no such head. */
    private Set<String> topics(JobSettings settings, String advice, StatusLine status) {
        OutputTopics outputs = new OutputTopics(settings);
        Set<String> topics = new TreeSet<>(outputs.names());
        try (KafkaTopics there = new KafkaTopics(settings, KafkaOption.OTHER_BROKER)) {
            for (String topic : outputs.dense()) {
                String none = "%s=%s where the job's models have no such head"
                        .formatted(outputs.kind(topic).topic().key(), OutputOptions.NO_TOPIC);
                if (delete) { // and perhaps the job's topic has another name, which nobody gave
                    there.requireTopic(topic, advice + "; or " + none);
                } else if (!there.hasTopic(topic)) {
                    topics.remove(topic);
                    status.say("topic: %s is not there, and left out; --delete needs it, or %s".formatted(topic, none));
                }
            }
            topics.addAll(more);
            topics.forEach(topic -> there.requireTopic(topic, advice));
        }
        return topics;
    }

    private Duration age(JobSettings settings) {
        Duration timeout = settings.get(OutputOptions.CLAIM_CHECK_TIMEOUT);
        Duration least = timeout.multipliedBy(PAYLOADS);
        least = least.compareTo(LEAST_AGE) > 0 ? least : LEAST_AGE;
        Duration age = Duration.ZERO;
        try {
            age = TimeUtils.parseDuration(olderThan);
        } catch (IllegalArgumentException e) {
            // It is too short as well.
        }
        checks.require(
                age.compareTo(least) >= 0,
                "--older-than",
                olderThan,
                "at least 1 h, such as 7 d, and %d times %s, which is %s"
                        .formatted(
                                PAYLOADS,
                                OutputOptions.CLAIM_CHECK_TIMEOUT.key(),
                                TimeUtils.formatWithHighestUnit(timeout)));
        return age;
    }

    /** Says what was found of a batch, and removes it if that was asked for; returns how many could not be removed. */
    private long end(ClaimCheckSweep sweep, StatusLine status) {
        List<FileStatus> orphans = sweep.unreferenced();
        orphans.stream().limit(MAX_SAID).forEach(file -> System.out.println(file.getPath() + " " + file.getLen()));
        if (orphans.size() > MAX_SAID) {
            System.out.println("… and %d more".formatted(orphans.size() - MAX_SAID));
        }
        AtomicLong kept = new AtomicLong();
        if (delete && sweep.records() == 0) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "--delete: the topics have no records (expected: those that refer to the directory; without any, remove"
                            + " it by hand)");
        }
        if (delete) {
            sweep.delete(problem -> {
                kept.incrementAndGet();
                status.say(problem);
            });
        }
        status.say("%d records read; %s without a record%s"
                .formatted(
                        sweep.records(),
                        payloads(orphans),
                        delete
                                ? ", of which %d are removed".formatted(orphans.size() - kept.get())
                                : "; --delete removes them"));
        return kept.get();
    }

    private static String payloads(List<FileStatus> files) {
        int count = files.size();
        long bytes = files.stream().mapToLong(FileStatus::getLen).sum();
        return "%d payload%s (%s)"
                .formatted(count, count == 1 ? "" : "s", new MemorySize(bytes).toHumanReadableString());
    }
}
