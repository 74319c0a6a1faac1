package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.NOT_EMPTY;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.MemorySize;

/** What may be said to a running job, and where: options of {@link JobSettings}. */
public final class ControlOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    private static final Rule<String> NOT_A_FRAME_TOPIC = new Rule<>(
            (topic, settings) -> !topic.equals(settings.get(InputOptions.INPUT_TOPIC)),
            settings -> "another topic than " + InputOptions.INPUT_TOPIC.key());

    public static final ConfigOption<String> CONTROL_TOPIC = OPTIONS.add(
            option("control.topic")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Topic of commands to the running job, of one partition: another model, the one before, heads on"
                                    + " or off. Who may write to it chooses the code that runs. Without it the job takes none."),
            NOT_EMPTY,
            NOT_A_FRAME_TOPIC);

    public static final ConfigOption<String> ANSWERS_TOPIC = OPTIONS.add(
            option("control.answers")
                    .stringType()
                    .defaultValue("model-answers")
                    .withDescription("Topic of the answers to commands, one of every subtask."),
            NOT_EMPTY,
            NOT_A_FRAME_TOPIC);

    public static final ConfigOption<String> BUNDLES_ALLOWED = OPTIONS.add(
            option("control.bundles.allowed")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Where a command's bundle may be: directories as URIs or absolute paths, separated by commas."
                                    + " Without it, the directory that holds the configured bundle."),
            NOT_EMPTY);

    public static final ConfigOption<Duration> LOAD_TIMEOUT = OPTIONS.add(
            option("control.load-timeout")
                    .durationType()
                    .defaultValue(Duration.ofMinutes(5))
                    .withDescription(
                            "Time that fetching a command's bundle may take, and again loading, checking and warming it up."
                                    + " After it the command is refused and the model that serves goes on."),
            MILLISECOND);

    public static final ConfigOption<Duration> KEEP = OPTIONS.add(
            option("control.keep")
                    .durationType()
                    .defaultValue(Duration.ofMinutes(1))
                    .withDescription(
                            "A command with a capture time: how long after the last frame from before it the model before"
                                    + " is kept for such frames; later ones go to the new model."),
            MILLISECOND);

    public static final ConfigOption<String> CACHE_DIRECTORY = OPTIONS.add(
            option("control.cache.directory")
                    .stringType()
                    .noDefaultValue()
                    .withDescription(
                            "Where fetched bundles are kept, by job and hash: a path on each machine. Without it,"
                                    + " $XDG_STATE_HOME/uplift-stream, by default in ~/.local/state."),
            NOT_EMPTY);

    public static final ConfigOption<MemorySize> CACHE_MAX_BYTES = OPTIONS.add(
            option("control.cache.max-bytes")
                    .memoryType()
                    .defaultValue(MemorySize.ofMebiBytes(4096))
                    .withDescription(
                            "Bytes of fetched bundles that a job keeps; those unused for longest go first, never one that serves"
                                    + " or served before."),
            Rule.of(">= 1 mb", size -> size.getMebiBytes() >= 1));

    private ControlOptions() {}
}
