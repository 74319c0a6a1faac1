package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import io.upliftstream.job.StateDirectory;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.DenseService;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.Charset;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.common.errors.InterruptException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command line. */
@Command(
        name = "uplift",
        mixinStandardHelpOptions = true,
        resourceBundle = "io.upliftstream.tools.cli.build",
        version = "uplift-stream ${bundle:projectVersion}",
        scope = ScopeType.INHERIT,
        sortOptions = false,
        usageHelpWidth = 110,
        description = "Dense vision on camera streams: frames in on Kafka, maps of classes, features and depth out,"
                + " computed by a ViT and UPLiFT in Flink.",
        footer = {
            "",
            "Begin here:",
            "  uplift demo                             two synthetic cameras, everything in one process",
            "  uplift demo --input street.mp4          the same with a video of yours",
            "  uplift infer --input photos --output out   pictures and arrays of single images",
            "  uplift kafka                            a broker to try the next ones with, if you have none",
            "  uplift run --config job.yaml            the job against a Kafka that you have",
            "  uplift publish --config job.yaml --input street.mp4   frames for it: videos, cameras, images",
            "  uplift consume segmentation --config job.yaml         what it says, as lines, pictures or video",
            "  uplift view --config job.yaml           the same as a live page",
            "  uplift sql flink-sql/examples/pedestrians.sql         frames or records, queried in Flink SQL",
            "",
            "Exit codes: 0 done; 1 failed, or some of it did; 2 a wrong option, setting or configuration file; 3",
            "surroundings that are not as expected (broker, topic, camera, input, output directory, port, bundle, device);",
            "75 two calls of the model hang, or a GPU is lost: the process has to be started again; 130 stopped by",
            "Ctrl-C, 143 by SIGTERM.",
            "Options of one command: uplift COMMAND --help"
        },
        subcommands = {
            DemoCommand.class,
            RunCommand.class,
            KafkaCommand.class,
            PublishCommand.class,
            ConsumeCommand.class,
            ViewCommand.class,
            ClaimCheckCommand.class,
            InferCommand.class,
            SqlCommand.class,
            ModelCommand.class,
            BenchCommand.class,
            ChaosCommand.class,
            SynthesizeCommand.class
        })
public final class Uplift implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    /** As of a process that SIGINT ended. */
    private static final int INTERRUPTED = 130;

    /** The thread of the command that was stopped. */
    private static final AtomicReference<Thread> STOPPED = new AtomicReference<>();

    @Option(
            names = "--debug",
            scope = ScopeType.INHERIT,
            description = "Print the log, and the stack trace of an error.")
    private boolean debug;

    /** Prints the usage: no command was given. */
    @Override
    public Integer call() {
        spec.commandLine().usage(spec.commandLine().getErr());
        return StartupException.CONFIGURATION;
    }

    public static void main(String[] args) {
        // Some write numbers in digits that Kafka and other programs do not read.
        Locale.setDefault(Locale.Category.FORMAT, Locale.ROOT);
        // Names in records are written by whoever sends them.
        System.setOut(new PlainPrintStream(System.out));
        System.setErr(new PlainPrintStream(System.err));
        PrintWriter err = new PrintWriter(System.err, true, Charset.defaultCharset());
        try {
            log(); // before the first logger
        } catch (StartupException e) {
            err.println("uplift: " + sentence(e));
            System.exit(e.exitCode());
        }
        if (List.of(args).contains("--debug")) {
            System.setProperty("uplift.console", "INFO");
        }
        StopSignals signals = StopSignals.watch(Thread.currentThread());
        DenseService.exit(signals.exitCode(run(args, err)));
    }

    /** Ends the command that a thread runs, as Ctrl-C does. */
    static void stop(Thread command) {
        STOPPED.set(command);
        command.interrupt();
    }

    /** For commands that wait: what they started may have taken the interruption for its own. */
    static void throwIfStopped() throws InterruptedException {
        if (STOPPED.get() == Thread.currentThread()) {
            throw new InterruptedException();
        }
    }

    /** Says where the log goes, unless the user has. */
    private static void log() {
        if (System.getProperty("uplift.log") == null) {
            System.setProperty(
                    "uplift.log", StateDirectory.of("log").resolve("uplift.log").toString());
        }
    }

    /**
     * Runs a command.
     *
     * @param err where errors go, one sentence each
     * @return the exit code
     */
    static int run(String[] args, PrintWriter err) {
        Uplift uplift = new Uplift();
        CommandLine commands = new CommandLine(uplift);
        Mistakes.register(commands);
        return commands.setErr(err)
                .setColorScheme(CommandLine.Help.defaultColorScheme(CommandLine.Help.Ansi.OFF))
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler((wrong, given) -> {
                    String command = wrong.getCommandLine().getCommandSpec().qualifiedName();
                    err.println("uplift: " + line(Mistakes.sentence(wrong)) + "; see " + command + " --help");
                    return StartupException.CONFIGURATION;
                })
                .setExecutionExceptionHandler((error, command, result) -> {
                    err.println("uplift: " + sentence(error));
                    if (uplift.debug) {
                        StringWriter trace = new StringWriter();
                        error.printStackTrace(new PrintWriter(trace));
                        err.println(PlainPrintStream.plain(trace.toString()));
                    }
                    return exitCode(error);
                })
                .execute(args);
    }

    private static int exitCode(Exception error) {
        if (interrupted(error)) {
            return INTERRUPTED;
        }
        if (error instanceof StartupException startup) {
            return startup.exitCode();
        }
        return error instanceof BundleException ? StartupException.ENVIRONMENT : 1;
    }

    private static String sentence(Exception error) {
        if (interrupted(error)) {
            return "stopped before the end";
        }
        String message = error instanceof FileSystemException file ? sentence(file) : error.getMessage();
        boolean told =
                error instanceof StartupException || error instanceof BundleException || error instanceof IOException;
        return line(message == null || !told ? error.toString() : message);
    }

    /** What was interrupted may have called it something else. */
    private static boolean interrupted(Exception error) {
        return STOPPED.get() == Thread.currentThread()
                || error instanceof InterruptedException
                || error instanceof InterruptException;
    }

    /** Its own message is the path, and sometimes nothing more. */
    private static String sentence(FileSystemException error) {
        String what = error.getReason() != null
                ? error.getReason()
                : error instanceof NoSuchFileException
                        ? "does not exist"
                        : error instanceof AccessDeniedException
                                ? "permission denied"
                                : error instanceof FileAlreadyExistsException ? "is there already" : error.toString();
        return Path.of(String.valueOf(error.getFile())).toAbsolutePath() + ": " + what;
    }

    private static String line(String message) {
        return PlainPrintStream.plain(message).replaceAll("[\r\n]+", " ");
    }
}
