package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.DenseModel;
import io.upliftstream.model.GoldenReport;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelBundle.Upsampler;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.tools.stream.JobCommands;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code uplift model}. */
@Command(
        name = "model",
        description = "Looks at a model bundle, or changes the model of a running job.",
        footer = {
            "",
            "Examples:",
            "  uplift model show model/bundles/street",
            "  uplift model verify model/bundles/street",
            "  uplift model activate /models/street-2 --config job.yaml     the running job changes to it",
            "  uplift model activate s3://models/street-2 --sha256 HASH --from 2026-12-01T06:00:00Z --config job.yaml",
            "  uplift model roll-back --config job.yaml                     to the model before",
            "  uplift model head depth off --config job.yaml                no records of this head",
            "  uplift model status --config job.yaml                        what every subtask serves",
            "",
            "The last four need uplift.control.topic, the same for the job and the command: docs/models.md"
        })
final class ModelCommand {
    /** How long a command waits: answers are read when they are committed, and a bundle may have to be fetched. */
    static final class Answers {
        @Option(
                names = "--wait",
                paramLabel = "SECONDS",
                defaultValue = "120",
                description = "For the answers; default: ${DEFAULT-VALUE}.")
        private int seconds;

        private Duration patience() {
            if (seconds < 1) {
                throw new StartupException(
                        StartupException.CONFIGURATION, "--wait: %d (expected: >= 1)".formatted(seconds));
            }
            return Duration.ofSeconds(seconds);
        }
    }

    /** Whether a head's records are written. */
    enum Switch {
        ON,
        OFF
    }

    @Command(
            name = "show",
            description = "Says what is in a bundle, checks every file's SHA-256, and says which variant runs here.")
    int show(@Parameters(paramLabel = "BUNDLE", description = "Directory of the bundle.") Path directory)
            throws BundleException {
        ModelBundle bundle = ModelBundle.load(directory);
        System.out.printf("%s: %s%n", bundle, bundle.description());
        print("license", bundle.license());
        print("sha256", bundle.sha256() + " (manifest; every file matches its own)");
        print(
                "input",
                "%d x %d pixels, %s, at most %d at a time"
                        .formatted(
                                bundle.input().width(),
                                bundle.input().height(),
                                bundle.input().fit().name().toLowerCase(Locale.ROOT),
                                bundle.input().maxBatch()));
        print(
                "backbone",
                "%s, patch %d, %d channels"
                        .formatted(
                                bundle.backbone().kind(),
                                bundle.backbone().patch(),
                                bundle.backbone().channels()));
        Upsampler upsampler = bundle.upsampler();
        print(
                "upsampler",
                upsampler.steps() == 0
                        ? upsampler.kind()
                        : "UPLiFT, %d steps, %d neighbours".formatted(upsampler.steps(), upsampler.neighbours()));
        for (HeadSpec head : bundle.heads()) {
            print("head " + head.name(), describe(head));
        }
        if (!bundle.labels().isEmpty()) {
            print(
                    "labels",
                    bundle.labels().stream()
                            .map(label -> label.id() + " " + label.name())
                            .collect(Collectors.joining(", ")));
        }
        print(
                "variants",
                bundle.variants().stream().map(ModelBundle.Variant::name).collect(Collectors.joining(", ")));
        try (DenseModel model = DenseModel.load(bundle, ModelOptions.AUTO)) {
            print("here", model.describe());
        }
        return 0;
    }

    private static String describe(HeadSpec head) {
        return "%s, %d %s at %d x %d (stride %d), %s%s%s"
                .formatted(
                        head.kind().name().toLowerCase(Locale.ROOT),
                        head.channels(),
                        head.kind() == HeadKind.SEGMENTATION ? "classes" : "channels",
                        head.width(),
                        head.height(),
                        head.stride(),
                        head.dtype().name().toLowerCase(Locale.ROOT),
                        head.unit() == null ? "" : ", in " + head.unit(),
                        head.confidence() ? ", with confidence" : "");
    }

    private static void print(String what, String value) {
        System.out.printf("  %-18s %s%n", what, value);
    }

    @Command(
            name = "verify",
            description = "Runs the bundle's golden case with every variant that this machine can run and compares with"
                    + " the outputs computed when it was exported. Exit code 1 if one disagrees.")
    int verify(@Parameters(paramLabel = "BUNDLE", description = "Directory of the bundle.") Path directory)
            throws BundleException, InterruptedException {
        ModelBundle bundle = ModelBundle.load(directory);
        System.out.printf("%s, sha256 %s: every file matches its hash%n", bundle, bundle.sha256());
        int ran = 0;
        boolean agree = true;
        for (ModelBundle.Variant variant : bundle.variants()) {
            Uplift.throwIfStopped();
            try (DenseModel model =
                    DenseModel.load(bundle, new ModelOptions(variant.device(), variant.precision(), 0))) {
                GoldenReport report = model.verify();
                System.out.printf("%s: %s%n", report.passed() ? "agrees" : "DISAGREES", report);
                agree &= report.passed();
                ran++;
            } catch (BundleException e) {
                boolean absent = String.valueOf(e.getMessage()).startsWith("device ");
                System.out.printf("%s: %s: %s%n", absent ? "not run" : "FAILS", variant.name(), e.getMessage());
                agree &= absent;
            }
        }
        if (ran == 0) {
            throw new BundleException("bundle " + directory + ": none of its variants runs on this machine");
        }
        return agree ? 0 : 1;
    }

    @Command(
            name = "activate",
            description =
                    "Has a running job serve another bundle, and waits for the answer of every subtask. Exit code 1 if"
                            + " one refuses, or does not answer in time.")
    int activate(
            @Parameters(
                            paramLabel = "BUNDLE",
                            description = "The bundle's directory, a path or a URI, as the job sees it.")
                    String bundle,
            @Option(
                            names = "--sha256",
                            paramLabel = "HASH",
                            description = "Of its manifest.json; default: of the bundle here, if it is here.")
                    @Nullable
                    String sha256,
            @Option(
                            names = "--from",
                            paramLabel = "TIME",
                            description =
                                    "Frames captured from this time on, such as 2026-12-01T06:00:00Z; default: all"
                                            + " frames from now on.")
                    @Nullable
                    Instant from,
            @Mixin Answers answers,
            @Mixin KafkaOption kafka)
            throws BundleException, IOException, InterruptedException {
        boolean local = !bundle.matches("[a-zA-Z][\\w+.-]*:/.*");
        String uri = local ? Path.of(bundle).toAbsolutePath().normalize().toString() : bundle;
        if (sha256 == null && !local) {
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "--sha256 is not set (expected: that of the manifest.json at %s)".formatted(bundle));
        }
        String hash =
                sha256 != null ? sha256 : ModelBundle.load(Path.of(bundle)).sha256();
        return send(
                kafka,
                answers,
                JobCommands.command(ModelAction.ACTIVATE)
                        .setBundle(uri)
                        .setSha256(hash)
                        .setFromCaptureTimeMicros(from == null ? null : ChronoUnit.MICROS.between(Instant.EPOCH, from))
                        .build());
    }

    @Command(
            name = "roll-back",
            description = "Has a running job serve the model before this one again, and waits for the answers.")
    int rollBack(@Mixin Answers answers, @Mixin KafkaOption kafka) throws IOException, InterruptedException {
        return send(kafka, answers, JobCommands.command(ModelAction.ROLL_BACK).build());
    }

    @Command(
            name = "head",
            description =
                    "Has a running job write the records of a head, or not. The model computes the head all the same.")
    int head(
            @Parameters(paramLabel = "HEAD", description = "Its name, such as depth.") String head,
            @Parameters(paramLabel = "on|off", description = "Whether its records are written.") Switch on,
            @Mixin Answers answers,
            @Mixin KafkaOption kafka)
            throws IOException, InterruptedException {
        ModelAction action = on == Switch.ON ? ModelAction.HEAD_ON : ModelAction.HEAD_OFF;
        return send(kafka, answers, JobCommands.command(action).setHead(head).build());
    }

    @Command(name = "status", description = "Asks a running job what every subtask serves.")
    int status(@Mixin Answers answers, @Mixin KafkaOption kafka) throws IOException, InterruptedException {
        return send(kafka, answers, JobCommands.command(ModelAction.STATUS).build());
    }

    private static int send(KafkaOption kafka, Answers awaited, io.upliftstream.schemas.ModelCommand command)
            throws IOException, InterruptedException {
        Duration patience = awaited.patience();
        List<ModelAnswer> answers = new JobCommands(kafka.settings()).send(command, patience);
        JobCommands.lines(answers).forEach(System.out::println);
        int subtasks = answers.isEmpty() ? 1 : answers.get(0).getSubtasks();
        if (answers.size() < subtasks) {
            throw new IOException(
                    ("command %s: %d answers within %d s (expected: %s; is the job running, with this control"
                                    + " topic? A command that was sent is carried out all the same)")
                            .formatted(
                                    command.getId(),
                                    answers.size(),
                                    patience.toSeconds(),
                                    answers.isEmpty() ? "one a subtask" : subtasks));
        }
        return answers.stream().anyMatch(answer -> answer.getOutcome() == ModelOutcome.REFUSED) ? 1 : 0;
    }
}
