package io.upliftstream.tools.bench;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.PacketCamera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.Video;
import io.upliftstream.tools.chaos.JvmProcess;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.embedded.ScratchDirectory;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.awt.Dimension;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;

/**
 * What one camera costs the job, sent as JPEGs and as packets of video. Each way has a job in a process of its own, whose
 * processor time counts; broker, camera and subscriber are in this one. Both jobs stay up, and the camera sends to them in
 * turns.
 */
public final class VideoBench {
    /** Pictures that the camera sends over and over, from memory. */
    private static final int SHOTS = 60;

    private static final double QUALITY = 0.92;
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    /**
     * What to measure.
     *
     * @param input a camera's source; of a video that has packets these are sent as they are, and it must have no B-frames
     * @param width of JPEGs and of what is encoded, pixels; of a video whose packets are sent, its own
     * @param height likewise
     * @param framesPerSecond that the camera sends
     * @param seconds of a round, and of the one before that warms a job up
     * @param run main class and arguments of a job with the settings that follow
     * @param set options of the job, {@code key=value}, model and device included
     */
    public record Options(
            String input,
            int width,
            int height,
            double framesPerSecond,
            int rounds,
            double seconds,
            List<String> run,
            List<String> set) {}

    /** A job's round: processor time a frame in milliseconds, and frames per second that ended. */
    private record Round(double cpuMillis, double framesPerSecond) {}

    private final Options options;
    private final EmbeddedKafka kafka;
    private final Admin admin;
    private final Path scratch;
    private final List<Process> processes = new CopyOnWriteArrayList<>();

    private VideoBench(Options options, EmbeddedKafka kafka, Admin admin, Path scratch) {
        this.options = options;
        this.kafka = kafka;
        this.admin = admin;
        this.scratch = scratch;
    }

    /**
     * Measures, and says on the way what it does.
     *
     * @param ends is told, before there are jobs, what ends their processes at once, on whatever thread
     */
    public static VideoReport run(Options options, Consumer<String> say, Consumer<Runnable> ends)
            throws IOException, BundleException, InterruptedException {
        ModelBundle bundle = ModelBundle.load(
                settings(options, "localhost:0", new FrameTopics("", 1)).bundle());
        List<Shot> images = shots(options, Video.NONE);
        List<Shot> packets = shots(options, Video.PACKETS_OR_ENCODED);
        try (ScratchDirectory scratch = ScratchDirectory.create("uplift-bench-video");
                EmbeddedKafka kafka = EmbeddedKafka.start();
                Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
            VideoBench bench = new VideoBench(options, kafka, admin, scratch.path());
            ends.accept(bench::endProcesses);
            try (Job asImages = bench.new Job("images", bundle, images);
                    Job asPackets = bench.new Job("packets", bundle, packets)) {
                return bench.measure(bundle.toString(), asImages, asPackets, say);
            }
        }
    }

    private void endProcesses() {
        processes.forEach(Process::destroyForcibly);
    }

    private static List<Shot> shots(Options options, Video video) {
        JpegFormat format = new JpegFormat(QUALITY, options.width(), options.height());
        try (Camera camera = CameraSource.parse(options.input()).open(format, video)) {
            if (camera instanceof PacketCamera packets) {
                requireSameSize(options, packets.size());
            }
            return camera.take(SHOTS);
        } catch (IOException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
    }

    /** A video's packets keep the size of its pictures, which JPEGs must have to be compared. */
    private static void requireSameSize(Options options, Dimension own) {
        Dimension size = new Dimension(options.width(), options.height());
        Dimension upright = new Dimension(/* width= */ own.height, /* height= */ own.width);
        if (!size.equals(own) && !size.equals(upright)) {
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "--size: %dx%d (expected: %dx%d, the size of the packets of %s)"
                            .formatted(size.width, size.height, own.width, own.height, options.input()));
        }
    }

    private static List<String> assignments(Options options, String bootstrapServers, FrameTopics topics) {
        List<String> assignments = new ArrayList<>(options.set());
        assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + bootstrapServers);
        assignments.add(ServingOptions.DELIVERY.key() + "=at-least-once"); // results are there at once
        assignments.addAll(topics.assignments());
        return assignments;
    }

    private static JobSettings settings(Options options, String bootstrapServers, FrameTopics topics) {
        return JobSettings.load(null, Map.of(), assignments(options, bootstrapServers, topics));
    }

    private VideoReport measure(String model, Job images, Job packets, Consumer<String> say)
            throws IOException, InterruptedException {
        images.round();
        packets.round();
        List<Round> ofImages = new ArrayList<>();
        List<Round> ofPackets = new ArrayList<>();
        for (int i = 0; i < options.rounds(); i++) {
            if (i % 2 == 0) {
                ofImages.add(images.round());
                ofPackets.add(packets.round());
            } else {
                ofPackets.add(packets.round());
                ofImages.add(images.round());
            }
            say.accept(String.format(
                    Locale.ROOT,
                    "round %d: JPEGs %.2f ms of processor time a frame at %.1f frames/s, packets %.2f ms at %.1f",
                    i + 1,
                    ofImages.get(i).cpuMillis(),
                    ofImages.get(i).framesPerSecond(),
                    ofPackets.get(i).cpuMillis(),
                    ofPackets.get(i).framesPerSecond()));
        }
        return new VideoReport(
                Runtime.getRuntime().availableProcessors(),
                model,
                options.input(),
                options.framesPerSecond(),
                options.rounds(),
                way(images, ofImages),
                way(packets, ofPackets),
                LoadReport.round(Turns.median(IntStream.range(0, options.rounds())
                        .mapToDouble(i ->
                                ofPackets.get(i).cpuMillis() / ofImages.get(i).cpuMillis())
                        .toArray())));
    }

    private VideoReport.Way way(Job job, List<Round> rounds) {
        double[] millis = rounds.stream().mapToDouble(Round::cpuMillis).sorted().toArray();
        double bytes = job.shots.stream()
                .mapToInt(shot -> shot.image().length)
                .average()
                .orElseThrow();
        double toCores = options.framesPerSecond() / 1e3;
        return new VideoReport.Way(
                job.shots.get(0).format(),
                LoadReport.round(bytes / 1e3),
                LoadReport.round(Turns.median(millis)),
                LoadReport.round(toCores * Turns.median(millis)),
                LoadReport.round(toCores * millis[0]),
                LoadReport.round(toCores * millis[millis.length - 1]),
                LoadReport.round(Turns.median(
                        rounds.stream().mapToDouble(Round::framesPerSecond).toArray())));
    }

    /** A job in a process of its own, and those who write and read its topics. */
    private final class Job implements AutoCloseable {
        private final List<Shot> shots;
        private final Process process;
        private final Path log;
        private final Account account;
        private final OpenLoop camera;
        private final Subscriber subscriber;

        /** Starts a job; its first round waits for it. */
        Job(String name, ModelBundle bundle, List<Shot> shots) throws IOException {
            this.shots = shots;
            FrameTopics topics = new FrameTopics(name + "-", 1);
            topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            JobSettings settings = settings(options, kafka.bootstrapServers(), topics);
            account = new Account(settings.written(bundle.heads()).stream()
                    .map(HeadSpec::name)
                    .toList());
            camera = new OpenLoop(kafka.bootstrapServers(), topics, List.of("camera"), shots, account);
            subscriber = new Subscriber(topics, settings, account);
            log = scratch.resolve(name + ".log");
            process = start(topics);
            processes.add(process);
        }

        private Process start(FrameTopics topics) throws IOException {
            List<String> command = new ArrayList<>();
            command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
            command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
            command.addAll(List.of("-cp", System.getProperty("java.class.path")));
            command.addAll(options.run());
            for (String assignment : assignments(options, kafka.bootstrapServers(), topics)) {
                command.addAll(List.of("--set", assignment));
            }
            ProcessBuilder builder =
                    new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
            builder.environment().put("XDG_STATE_HOME", scratch + File.separator + topics.prefix() + "state");
            return builder.start();
        }

        /** Sends for the time of a round, and waits until every picture has its results. */
        Round round() throws IOException, InterruptedException {
            long frames = Math.max(1, Math.round(options.framesPerSecond() * options.seconds()));
            double cpu = JvmProcess.cpuMillis(process.toHandle());
            long start = System.nanoTime();
            publish(frames);
            double seconds = (System.nanoTime() - start) / 1e9;
            return new Round((JvmProcess.cpuMillis(process.toHandle()) - cpu) / frames, frames / seconds);
        }

        private void publish(long frames) throws IOException, InterruptedException {
            camera.publish(options.framesPerSecond(), frames);
            boolean settled = subscriber.awaitSettled(PATIENCE, () -> {
                if (!process.isAlive()) {
                    throw new IOException("the job ended: " + Files.readString(log));
                }
            });
            if (!settled) {
                throw new IOException(
                        "%d pictures have no results after %s (expected: 0; a video has no B-frames); the job says: %s"
                                .formatted(account.open(), PATIENCE, Files.readString(log)));
            }
            if (account.balance().results() != account.balance().published()) {
                throw new IOException(account.balance() + " (expected: results alone)");
            }
        }

        @Override
        public void close() throws IOException {
            try (camera;
                    subscriber) {
                process.destroyForcibly().onExit().join();
            }
        }
    }
}
