package io.upliftstream.job;

import static io.upliftstream.job.OptionGroup.MILLISECOND;
import static io.upliftstream.job.OptionGroup.option;

import io.upliftstream.job.OptionGroup.Rule;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;

/** How packets of videos are served: options of {@link JobSettings}. */
public final class VideoOptions {
    static final OptionGroup OPTIONS = new OptionGroup();

    /** Which pictures of a video go to the model. */
    public enum Selection {
        ALL,
        EVERY_N,
        PER_SECOND,
        KEY_FRAMES;

        @Override
        public String toString() {
            return OptionGroup.text(this);
        }
    }

    public static final ConfigOption<Selection> FRAMES = OPTIONS.add(option("video.frames")
            .enumType(Selection.class)
            .defaultValue(Selection.ALL)
            .withDescription(
                    "Which pictures of a video go to the model: all; every-n, one of video.every-n; per-second,"
                            + " at most video.per-second by their capture times; key-frames, those alone, and no others are"
                            + " decoded. The others are counted as passed over and have no record."));

    public static final ConfigOption<Integer> EVERY_N = OPTIONS.add(
            option("video.every-n")
                    .intType()
                    .defaultValue(5)
                    .withDescription("video.frames=every-n: of so many pictures the first one goes to the model."),
            Rule.of(">= 1", n -> n >= 1));

    public static final ConfigOption<Double> PER_SECOND = OPTIONS.add(
            option("video.per-second")
                    .doubleType()
                    .defaultValue(1.0)
                    .withDescription("video.frames=per-second: most pictures of a camera in a second."),
            Rule.of("> 0 and <= 1000", rate -> rate > 0 && rate <= 1000));

    public static final ConfigOption<Duration> IDLE = OPTIONS.add(
            option("video.idle")
                    .durationType()
                    .defaultValue(Duration.ofSeconds(10))
                    .withDescription(
                            "A camera without a packet for this long has its decoder closed. Its next packets are decoded after"
                                    + " those since the key frame were read again from Kafka; pictures that the decoder"
                                    + " held back come then, or when the input ends."),
            MILLISECOND);

    public static final ConfigOption<Integer> THREADS = OPTIONS.add(
            option("video.threads")
                    .intType()
                    .defaultValue(0)
                    .withDescription(
                            "Threads per subtask that decode packets, each of one camera at a time; 0 chooses: a"
                                    + " quarter of the processors, at least one."),
            Rule.of(">= 1, or 0 to choose", threads -> threads >= 0));

    private VideoOptions() {}
}
