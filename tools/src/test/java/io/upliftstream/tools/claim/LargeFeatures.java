package io.upliftstream.tools.claim;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.DType;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.JobState;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.function.BooleanSupplier;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** An engine without a model, whose features are as large as the number in an image says, and always the same for it. */
record LargeFeatures(int leastBytes, int mostBytes) implements FrameEngine {
    private static final int CHANNELS = 32;
    private static final int HEIGHT = 32;
    private static final int COLUMN_BYTES = 2 * CHANNELS * HEIGHT;

    /** An image that the job takes for a JPEG, and that nobody decodes. */
    static byte[] image(int number) {
        return ByteBuffer.allocate(7)
                .put(new byte[] {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF})
                .putInt(number)
                .array();
    }

    /** The bytes of the features of such an image: small numbers in fp16, which do not compress. */
    byte[] features(int number) {
        Random random = new Random(number);
        int columns = (leastBytes + random.nextInt(mostBytes - leastBytes + 1)) / COLUMN_BYTES;
        byte[] halves = new byte[columns * COLUMN_BYTES];
        random.nextBytes(halves);
        for (int i = 1; i < halves.length; i += 2) {
            halves[i] &= (byte) 0xBB; // below 1
        }
        return halves;
    }

    private static HeadSpec head(int width) {
        return new HeadSpec("features", HeadKind.FEATURES, CHANNELS, width, HEIGHT, 1, DType.FLOAT16, null, false);
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier expired) {
        byte[] halves = features(ByteBuffer.wrap(image).getInt(3));
        int width = halves.length / COLUMN_BYTES;
        return CompletableFuture.completedFuture(new DenseResult(
                new DenseOutput(List.of(new HeadOutput(head(width), ByteBuffer.wrap(halves), null))),
                new FrameTransform(width, HEIGHT, 1, 1, 0, 0),
                new StageTimings(0, 0, 0, 0, 1)));
    }

    @Override
    public Executor executor() {
        return ForkJoinPool.commonPool();
    }

    @Override
    public ModelIdentity model() {
        return new ModelIdentity("none", "1", "0".repeat(64), "none");
    }

    @Override
    public List<HeadSpec> heads() {
        return List.of(head(1));
    }

    @Override
    public List<String> classNames() {
        return List.of();
    }

    @Override
    public int maxBatch() {
        return 2;
    }

    @Override
    public ModelHealth health() {
        return new ModelHealth(0, 0, 2);
    }

    @Override
    public void close() {}

    /** A job of this engine in a process that may be killed, and goes on from the last one's state: sizes, then key=value. */
    public static void main(String[] args) throws Exception {
        int least = Integer.parseInt(args[0]);
        int most = Integer.parseInt(args[1]);
        JobSettings settings = JobSettings.load(null, Map.of(), List.of(args).subList(2, args.length));
        try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings, (unused, subtask) -> new LargeFeatures(least, most));
            try (JobState state = JobState.lock(settings)) {
                env.configure(state.configuration(state.newest()));
                EmbeddedFlink.Job job = flink.submit(env);
                job.awaitRunning();
                long start = System.nanoTime();
                job.awaitEnd();
                System.out.printf("took %d ms%n", (System.nanoTime() - start) / 1_000_000);
                System.out.println("totals " + job.totals() + ", restarts " + job.restarts());
            }
        }
        System.exit(0);
    }
}
