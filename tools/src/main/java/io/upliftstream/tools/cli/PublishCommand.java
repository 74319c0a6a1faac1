package io.upliftstream.tools.cli;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.StartupException;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.LoopingCamera;
import io.upliftstream.tools.camera.Video;
import io.upliftstream.tools.stream.CameraPublisher;
import io.upliftstream.tools.stream.Schedule;
import io.upliftstream.tools.stream.StatusLine;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift publish}. */
@Command(
        name = "publish",
        description = "Sends cameras to the job's input topic, as CameraFrame records with a JPEG each, or as"
                + " packets of H.264, H.265 or AV1: video files, network streams, webcams, directories of images,"
                + " synthetic streets. Ends with the last frame, or with"
                + " Ctrl-C, after the broker has all that was sent.",
        footer = {
            "",
            "Sources:",
            "  street.mp4                any video that FFmpeg reads",
            "  photos/                   images by name, five a second; JPEG and PNG go out as they are",
            "  rtsp://host/stream        a network camera; http:// and others that FFmpeg knows, too",
            "  /dev/video0               a webcam (V4L2)",
            "  synthetic, synthetic:7    a street that never ends, and another",
            "NAME= before a source names its camera, which is the key of its records; else the file, host or device does.",
            "",
            "Examples:",
            "  uplift publish --input street.mp4 --bootstrap-servers broker:9092",
            "  uplift publish --config job.yaml --input gate=rtsp://10.0.0.7/main --input yard=rtsp://10.0.0.8/main --loop",
            "  uplift publish --input street.mp4 --rate max --partitions 4     all of it at once; make the topic if need be",
            "  uplift publish --input /dev/video0 --size 640 --rate 5",
            "  uplift publish --input gate=rtsp://10.0.0.7/main --packets       the camera's own H.264 or H.265",
            "",
            "What cannot be opened, read or sent is named and the rest goes on; the exit code is 1 then.",
            "",
            "Capture times: of files, the time of --start (default: now) plus the frame's own time in the video; with a",
            "number as --rate and no --start, the time of sending; of live sources, the time at which the frame came."
        })
final class PublishCommand implements Callable<Integer> {
    private static final int MILLIS_BETWEEN_LOOKS = 100;

    @Option(
            names = "--input",
            required = true,
            paramLabel = "[NAME=]SOURCE",
            description = "A camera; repeatable, all send at once.")
    private List<String> inputs = new ArrayList<>();

    @Mixin
    private KafkaOption kafka = new KafkaOption();

    @Option(
            names = "--rate",
            paramLabel = "RATE",
            defaultValue = "native",
            description = "native: as filmed; max: as fast as the broker takes them; a number: so many frames per"
                    + " second, of files every frame, of live sources at most so many. Default: ${DEFAULT-VALUE}.")
    private String rate = "native";

    @Option(
            names = "--loop",
            description = "Begin again at the end, for ever; open a live source again that broke off.")
    private boolean loop;

    @Option(names = "--limit", paramLabel = "N", description = "At most so many frames of each camera.")
    private @Nullable Long limit;

    @Option(
            names = "--size",
            paramLabel = "W[xH]",
            converter = Size.ScaleConverter.class,
            description = "Scale frames to this width, in proportion unless a height is given; default: as filmed,"
                    + " synthetic 640x360.")
    private @Nullable Size size;

    @Option(
            names = "--quality",
            paramLabel = "Q",
            defaultValue = "92",
            description = "Of the JPEGs, 1 to 100. Default: ${DEFAULT-VALUE}.")
    private int quality = 92;

    @Option(
            names = "--packets",
            description = "Send the source's own packets of H.264, H.265 or AV1, as VideoPacket records, instead of its"
                    + " pictures as JPEGs.")
    private boolean packets;

    @Option(
            names = "--encode",
            paramLabel = "CODEC",
            description = "h264: encode pictures as H.264 (OpenH264) and send its packets; with --packets, those of"
                    + " sources that have no packets of their own.")
    private @Nullable String encode;

    @Option(
            names = "--bare",
            description =
                    "Send images and packets alone, not in an Avro record; what there is to say of a packet goes into"
                            + " headers of its record.")
    private boolean bare;

    @Option(
            names = "--start",
            paramLabel = "TIME",
            description = "Capture time of a file's first frame, such as 2026-03-01T12:00:00Z, the others by its clock;"
                    + " default: now.")
    private @Nullable Instant start;

    @Option(
            names = "--partitions",
            paramLabel = "N",
            description = "Create the topic with so many partitions if it is not there.")
    private @Nullable Integer partitions;

    private long failed;

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        checks.require(quality >= 1 && quality <= 100, "--quality", quality, "1 to 100");
        checks.require(limit == null || limit >= 1, "--limit", limit, ">= 1");
        checks.require(partitions == null || partitions >= 1, "--partitions", partitions, ">= 1");
        checks.require(encode == null || encode.equals("h264"), "--encode", encode, "h264");
        checks.require(
                size == null || !packets || encode != null,
                "--size",
                "with --packets",
                "--encode h264 as well: packets go out as they are");
        JpegFormat format = format();
        double framesPerSecond = framesPerSecond();
        JobSettings settings = kafka.settings();
        String topic = settings.get(InputOptions.INPUT_TOPIC);
        List<Camera> cameras = new ArrayList<>();
        try {
            open(cameras, format);
            for (Camera camera : cameras) {
                checks.require(
                        !camera.packets() || !camera.live() || framesPerSecond == Schedule.NATIVE,
                        "--rate",
                        rate,
                        "native for %s, of whose packets none can be left out".formatted(camera.id()));
            }
            int maxRecordBytes = prepare(settings, topic);
            // At a rate of its own a file's clock would go ahead of, or fall behind, the times of sending.
            boolean filmed = framesPerSecond == Schedule.NATIVE || framesPerSecond == Schedule.UNPACED;
            Instant now = filmed ? Instant.now() : null;
            Schedule schedule =
                    new Schedule(framesPerSecond, limit == null ? Long.MAX_VALUE : limit, start == null ? now : start);
            failed += publish(settings, cameras, schedule, maxRecordBytes);
        } finally {
            for (Camera camera : cameras) {
                camera.close();
            }
        }
        return failed == 0 ? 0 : 1;
    }

    /** Opens all that can be opened; the others are named. */
    private void open(List<Camera> cameras, JpegFormat format) {
        List<CameraSource> sources = inputs.stream().map(CameraSource::parse).toList();
        Set<String> names = new HashSet<>();
        for (int i = 0; i < inputs.size(); i++) {
            String name = sources.get(i).id();
            checks.require(
                    names.add(name),
                    "--input",
                    inputs.get(i),
                    "a name of its own, %s is taken: --input NAME=SOURCE".formatted(name));
        }
        List<String> troubles = new ArrayList<>();
        for (CameraSource source : sources) {
            try {
                cameras.add(loop ? new LoopingCamera(source, format, video()) : source.open(format, video()));
            } catch (IOException e) {
                troubles.add(String.valueOf(e.getMessage()));
            }
        }
        if (cameras.isEmpty()) {
            throw new StartupException(StartupException.ENVIRONMENT, String.join("; ", troubles));
        }
        troubles.forEach(trouble -> System.err.println(trouble + "; the other cameras go on"));
        failed += troubles.size();
    }

    /** Creates the topic if asked to, and returns the largest record that it takes, in bytes. */
    private int prepare(JobSettings settings, String topic) {
        try (KafkaTopics topics = new KafkaTopics(settings, KafkaOption.OTHER_BROKER)) {
            if (partitions != null && !topics.hasTopic(topic)) {
                int bytes = (int) settings.get(InputOptions.FRAME_MAX_BYTES).getBytes();
                topics.createTopic(topic, partitions, bytes);
                return bytes;
            }
            topics.requireTopic(topic, ", or --partitions N to create it");
            return topics.maxRecordBytes(topic);
        }
    }

    /** Returns how many pictures and cameras failed. */
    private long publish(JobSettings settings, List<Camera> cameras, Schedule schedule, int maxRecordBytes)
            throws IOException {
        StatusLine status = new StatusLine(System.out, StatusLine.columns());
        status.say("Publishing %s to topic %s on %s (Ctrl-C ends)"
                .formatted(
                        cameras.stream().map(Camera::id).collect(Collectors.joining(", ")),
                        settings.get(InputOptions.INPUT_TOPIC),
                        settings.get(InputOptions.BOOTSTRAP_SERVERS)));
        long begin = System.nanoTime();
        CameraPublisher publisher = new CameraPublisher(
                settings,
                cameras,
                schedule,
                CameraPublisher.Spread.BY_NAME,
                maxRecordBytes,
                bare,
                (camera, sequence, shot) -> {});
        try (publisher) {
            publisher.begin();
            while (!publisher.finished()) {
                publisher.news().forEach(status::say);
                status.update(() -> describe(publisher, begin));
                Thread.sleep(MILLIS_BETWEEN_LOOKS);
            }
        } catch (InterruptedException e) { // Ctrl-C; what was sent arrives still
            status.say("Stopped.");
        } finally {
            publisher.news().forEach(status::say);
            status.say(describe(publisher, begin));
        }
        return publisher.failed();
    }

    private static String describe(CameraPublisher publisher, long begin) {
        double seconds = (System.nanoTime() - begin) / 1e9;
        return publisher.progress().stream()
                .map(camera -> String.format(
                        Locale.ROOT,
                        "%s: %d frames, %.1f/s, %.1f MB%s",
                        camera.camera(),
                        camera.frames(),
                        camera.frames() / seconds,
                        camera.bytes() / 1e6,
                        camera.failed() == 0 ? "" : ", %d failed".formatted(camera.failed())))
                .collect(Collectors.joining(" | "));
    }

    private double framesPerSecond() {
        if (rate.equals("native")) {
            return Schedule.NATIVE;
        } else if (rate.equals("max")) {
            return Schedule.UNPACED;
        }
        boolean number = rate.matches("\\d{1,4}(\\.\\d{1,6})?") && Double.parseDouble(rate) > 0;
        checks.require(number, "--rate", rate, "native, max, or frames per second");
        return Double.parseDouble(rate);
    }

    private JpegFormat format() {
        return size == null
                ? JpegFormat.of(quality / 100.0)
                : new JpegFormat(quality / 100.0, size.width(), size.height());
    }

    private Video video() {
        if (packets) {
            return encode == null ? Video.PACKETS : Video.PACKETS_OR_ENCODED;
        }
        return encode == null ? Video.NONE : Video.ENCODED;
    }
}
