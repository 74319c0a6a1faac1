package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.RegistryOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.Label;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.tools.picture.Legend;
import io.upliftstream.tools.stream.ClaimedPayloads;
import io.upliftstream.tools.stream.Classes;
import io.upliftstream.tools.stream.Footage;
import io.upliftstream.tools.stream.FrameImages;
import io.upliftstream.tools.stream.RecordFiles;
import io.upliftstream.tools.stream.RecordKind;
import io.upliftstream.tools.stream.RecordPainter;
import io.upliftstream.tools.stream.RecordReader;
import io.upliftstream.tools.stream.StatusLine;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.errors.InterruptException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code uplift consume}. */
@Command(
        name = "consume",
        description =
                "Reads one of the job's topics into files or lines. Ends with the last record that is on the"
                        + " topic when it begins, unless told to follow. Reads what is committed, and leaves no trace on Kafka.",
        footer = {
            "",
            "Formats:",
            "  json  one line per record on standard output: the fields of docs/schemas.md, bytes as their length, and",
            "        the share of every class, or the range of the values",
            "  png   <camera>_<sequence>.<head>.png: classes over the frame, features and depth as colours",
            "  npy   <camera>_<sequence>.<head>.npy on the model's grid: labels u8 [height, width], else f32 [channels,",
            "        height, width]",
            "  mp4   <camera>.<head>.mp4, the same pictures as png as a video (H.264), at the times of their capture",
            "        of frames: <camera>.mp4, packets of video as they were sent, images encoded",
            "  image <camera>_<sequence>.jpg or .png: frames, byte for byte as they were sent",
            "",
            "Examples:",
            "  uplift consume segmentation --format mp4 --output seen",
            "  uplift consume depth --format npy --camera gate --limit 100 --output arrays",
            "  uplift consume segmentation --follow | jq -r '[.header.cameraId, .shares.person] | @tsv'",
            "  uplift consume failures --config job.yaml",
            "  uplift consume frames --format mp4 --camera gate --output recorded",
            "  uplift consume frames --format image --limit 1000 --output mine/images",
            "",
            "legend.png says which colour is which class; a model with other classes gets legend-2.png, and so on.",
            "Frames behind the classes come from the input topic; where it no longer has them, the classes stand alone."
        })
final class ConsumeCommand implements Callable<Integer> {
    /** What records become. */
    enum Format {
        JSON,
        PNG,
        NPY,
        MP4,
        IMAGE
    }

    /** Where reading begins. */
    enum From {
        EARLIEST,
        LATEST
    }

    @Parameters(
            paramLabel = "RECORDS",
            description =
                    "segmentation, features, depth, failures, dropped or frames: from the topic that the job's options name.")
    private RecordKind kind = RecordKind.SEGMENTATION;

    @Option(
            names = "--format",
            paramLabel = "FORMAT",
            defaultValue = "json",
            description = "json, png, npy, mp4 or image. Default: ${DEFAULT-VALUE}.")
    private Format format = Format.JSON;

    @Option(
            names = "--output",
            paramLabel = "DIR",
            defaultValue = "out",
            description = "Where files go; default: ${DEFAULT-VALUE}.")
    private Path output = Path.of("out");

    @Option(names = "--camera", paramLabel = "NAME", description = "Only this camera; repeatable. Default: all.")
    private Set<String> cameras = new HashSet<>();

    @Option(
            names = "--from",
            paramLabel = "WHERE",
            defaultValue = "earliest",
            description = "earliest: what is on the topic; latest: only what comes from now on, which means --follow."
                    + " Default: ${DEFAULT-VALUE}.")
    private From from = From.EARLIEST;

    @Option(names = "--limit", paramLabel = "N", description = "End after so many records.")
    private @Nullable Long limit;

    @Option(names = "--follow", description = "Go on with what comes, until --limit or Ctrl-C.")
    private boolean follow;

    @Mixin
    private ClaimCheckOption claimCheck = new ClaimCheckOption();

    @Mixin
    private KafkaOption kafka = new KafkaOption();

    @Mixin
    private Checks checks = new Checks();

    /** Records that are not readable, or cannot be written, and named one by one; the others are counted. */
    private static final int MAX_SAID = 20;

    /** Cameras that are named when one that was asked for is not there. */
    private static final int MAX_NAMED = 20;

    /** Files of colours; whoever writes to the topic may name other classes in every record. */
    private static final int MAX_LEGENDS = 16;

    private final Set<String> seen = new TreeSet<>();
    private final Set<List<Label>> legends = new HashSet<>();
    private boolean stopped;
    private long count;
    private long unreadable;
    private long unwritten;

    @Override
    public Integer call() throws Exception {
        checks.require(limit == null || limit >= 1, "--limit", limit, ">= 1");
        checks.require(
                formats().contains(format),
                "--format",
                lower(format) + " of " + lower(kind),
                formats().stream().map(ConsumeCommand::lower).collect(Collectors.joining(" or ")));
        if (format != Format.JSON) {
            checks.writable("--output", output);
        }
        JobSettings settings = kafka.settings(claimCheck.assignments());
        String topic = settings.get(kind.topic());
        if (topic.equals(OutputOptions.NO_TOPIC)) {
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "%s: none (expected: a topic; the job does not write these records)"
                            .formatted(kind.topic().key()));
        }
        try (KafkaTopics topics = new KafkaTopics(settings, KafkaOption.OTHER_BROKER)) {
            topics.requireTopic(topic, ", named by " + kind.topic().key());
        }
        if (format != Format.JSON) {
            Files.createDirectories(output);
        }
        StatusLine status = new StatusLine(System.err, StatusLine.columns());
        try (FrameImages images = FrameImages.inOrder(settings)) {
            Classes classes = classes(settings);
            RecordPainter painter = new RecordPainter(images, classes);
            RecordFiles files = files(painter);
            try (files) {
                read(settings, topic, files, classes, status);
            } catch (InterruptException | InterruptedException | ClosedByInterruptException e) {
                boolean unused = Thread.interrupted(); // Ctrl-C; what was read is kept
                stopped = true;
            }
            report(status, topic, painter, files);
        }
        requireCameras(topic);
        return unreadable + unwritten == 0 ? 0 : 1;
    }

    /** What these records can become. */
    private Set<Format> formats() {
        if (kind == RecordKind.FRAMES) {
            return EnumSet.of(Format.JSON, Format.MP4, Format.IMAGE);
        }
        return kind.dense() ? EnumSet.complementOf(EnumSet.of(Format.IMAGE)) : EnumSet.of(Format.JSON);
    }

    /** Those of the bundle, where it is at hand; others are as their records name them. */
    private Classes classes(JobSettings settings) throws Exception {
        if (!coloured() || !Files.isDirectory(settings.bundle())) {
            return new Classes(List.of(), "");
        }
        ModelBundle bundle = ModelBundle.load(settings.bundle());
        return new Classes(bundle.labels(), bundle.sha256());
    }

    /** Whether the files show classes in their colours. */
    private boolean coloured() {
        return kind == RecordKind.SEGMENTATION && (format == Format.PNG || format == Format.MP4);
    }

    private void writeLegend(List<Label> labels) throws IOException {
        if (legends.size() < MAX_LEGENDS && legends.add(labels)) {
            String name = legends.size() == 1 ? "legend.png" : "legend-%d.png".formatted(legends.size());
            Legend.write(output.resolve(name), labels);
        }
    }

    private RecordFiles files(RecordPainter painter) {
        return switch (format) {
            case JSON -> RecordFiles.lines(System.out);
            case PNG -> RecordFiles.pictures(output, painter);
            case NPY -> RecordFiles.arrays(output);
            case MP4 -> kind == RecordKind.FRAMES ? RecordFiles.footage(output) : RecordFiles.videos(output, painter);
            case IMAGE -> RecordFiles.images(output);
        };
    }

    private void read(JobSettings settings, String topic, RecordFiles files, Classes classes, StatusLine status)
            throws IOException, InterruptedException {
        boolean fromEnd = from == From.LATEST;
        RecordDecoder decoder = RegistryOptions.decoder(settings);
        ClaimedPayloads payloads = new ClaimedPayloads(settings, Payloads.PATIENCE);
        try (RecordReader reader = new RecordReader(settings, topic, fromEnd, follow || fromEnd)) {
            for (ConsumerRecords<byte[], byte[]> some = reader.next(); some != null; some = reader.next()) {
                for (ConsumerRecord<byte[], byte[]> record : some) {
                    if (limit != null && count == limit) {
                        return;
                    }
                    if (Thread.interrupted()) {
                        throw new InterruptedException();
                    }
                    write(record, decoder, payloads, files, classes, status);
                }
                if (limit != null && count == limit) {
                    return;
                }
            }
        }
    }

    private void write(
            ConsumerRecord<byte[], byte[]> record,
            RecordDecoder decoder,
            ClaimedPayloads payloads,
            RecordFiles files,
            Classes classes,
            StatusLine status)
            throws IOException {
        try {
            SpecificRecord decoded = kind.decode(record, decoder);
            String camera = RecordKind.cameraId(decoded);
            if (seen.size() < MAX_NAMED || cameras.contains(camera)) {
                seen.add(camera);
            }
            if (cameras.isEmpty() || cameras.contains(camera)) {
                payloads.fetch(decoded);
                files.write(decoded);
                if (coloured()) {
                    writeLegend(classes.of((SegmentationRecord) decoded));
                }
                count++;
            }
        } catch (MalformedRecordException e) {
            unreadable++;
            name(record, e, status);
        } catch (InterruptedIOException | ClosedByInterruptException e) {
            throw e;
        } catch (IOException e) {
            if (format == Format.JSON) { // nobody reads the lines any more
                throw e;
            }
            unwritten++;
            name(record, e, status);
        }
        if (format != Format.JSON) {
            status.update(() -> count + " records");
        }
    }

    /** Refuses cameras that are not on a topic which was read to its end. */
    private void requireCameras(String topic) {
        Set<String> absent = new TreeSet<>(cameras);
        absent.removeAll(seen);
        if (absent.isEmpty() || stopped || (limit != null && count == limit)) {
            return;
        }
        String there = seen.isEmpty() ? "no record is on it" : "there are " + String.join(", ", seen);
        throw new StartupException(
                StartupException.ENVIRONMENT,
                "--camera: %s is not on topic %s (expected: a camera of its records; %s)"
                        .formatted(String.join(", ", absent), topic, there));
    }

    private void name(ConsumerRecord<byte[], byte[]> record, Exception failed, StatusLine status) {
        long named = unreadable + unwritten;
        if (named <= MAX_SAID) {
            status.say("%s, partition %d, offset %d: %s"
                            .formatted(record.topic(), record.partition(), record.offset(), failed.getMessage())
                    + (named == MAX_SAID ? " (the last that is named)" : ""));
        }
    }

    private void report(StatusLine status, String topic, RecordPainter painter, RecordFiles files) {
        StringBuilder report = new StringBuilder(
                "%d %s record%s from topic %s".formatted(count, lower(kind), count == 1 ? "" : "s", topic));
        if (format != Format.JSON) {
            report.append(" in ").append(output);
        }
        if (painter.missing() > 0) {
            report.append("; of %d the frame is no longer on its topic".formatted(painter.missing()));
        }
        if (files instanceof RecordFiles.Videos videos && videos.continued() > 0) {
            report.append(
                    "; %d came again, out of order or more than an hour later, and are one frame after the one before"
                            .formatted(videos.continued()));
        }
        if (files instanceof Footage footage && footage.continued() > 0) {
            report.append("; %d are shown later than they were taken".formatted(footage.continued()));
        }
        if (files instanceof Footage footage && footage.leftOut() > 0) {
            report.append("; %d packets before a key frame with its parameter sets are left out"
                    .formatted(footage.leftOut()));
        }
        if (unreadable > 0) {
            report.append("; %d not readable".formatted(unreadable));
        }
        if (unwritten > 0) {
            report.append("; %d not written".formatted(unwritten));
        }
        status.say(report.toString());
    }

    private static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }
}
