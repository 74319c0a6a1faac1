package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The graphs on lanes of a stand-in for a GPU, which computes on the CPU and keeps the order of what it is told. */
@Timeout(60)
class LanesTest {
    private static final int MAX_BATCH = 3;

    private final List<StandIn> opened = new ArrayList<>();

    @SuppressWarnings("NullAway.Init")
    private ModelBundle bundle;

    @SuppressWarnings("NullAway.Init")
    private Placement cpu;

    @BeforeEach
    void loadBundle() throws Exception {
        PyTorch.start(0);
        bundle = ModelBundle.load(TestBundles.TINY);
        cpu = Placement.choose(bundle, new ModelOptions("cpu", "fp32", 0));
    }

    private DenseModel on(int lanes, Fault fault) throws BundleException {
        return on(lanes, MAX_BATCH, fault);
    }

    private DenseModel on(int lanes, int maxBatch, Fault fault) throws BundleException {
        return DenseModel.load(
                bundle,
                cpu,
                maxBatch,
                () -> {
                    opened.add(new StandIn(opened.size(), fault));
                    return opened.get(opened.size() - 1);
                },
                lanes);
    }

    @Test
    void replaysGiveWhatTheGraphsGiveForEverySizeOnEveryLane() throws Exception {
        try (DenseModel direct = DenseModel.load(bundle, cpu, MAX_BATCH, null, 1);
                DenseModel model = on(2, Fault.NONE)) {
            assertThat(model.describe()).contains("batches of at most 3 frames, 2 at a time, as CUDA graphs");
            int before = replays();
            for (int call = 0; call < 4; call++) {
                for (int n = 1; n <= MAX_BATCH; n++) {
                    ByteBuffer frames = frames(n, 10 * call + n);
                    assertThat(floats(model.infer(frames, n))).isDeepEqualTo(floats(direct.infer(frames, n)));
                }
            }
            assertThat(replays() - before).as("of two graphs in twelve calls").isEqualTo(24);
            assertThat(opened).extracting(lane -> lane.replays.get()).containsOnly(replays() / 2);
        }
        assertThat(opened).allMatch(lane -> lane.closed && lane.recordings.get() == 0);
    }

    @Test
    void callsOnTwoLanesRunAtATimeAndDoNotMix() throws Exception {
        try (DenseModel direct = DenseModel.load(bundle, cpu, MAX_BATCH, null, 1);
                DenseModel model = on(2, Fault.NONE)) {
            CyclicBarrier both = new CyclicBarrier(2);
            opened.forEach(lane -> lane.meeting = both);
            List<CompletableFuture<float[][]>> answers = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                ByteBuffer frames = frames(2, i);
                answers.add(CompletableFuture.supplyAsync(() -> floats(model.infer(frames, 2))));
            }
            for (int i = 0; i < 2; i++) {
                assertThat(answers.get(i).get()).isDeepEqualTo(floats(direct.infer(frames(2, i), 2)));
            }
        }
    }

    @Test
    void aServiceHasAsManyCallsAtATime() throws Exception {
        byte[] image = TestBundles.image("plain.jpg");
        try (ServedModel service =
                new ServedModel(new ServiceOptions(TestBundles.TINY, ModelOptions.AUTO), on(2, 1, Fault.NONE))) {
            CyclicBarrier both = new CyclicBarrier(2);
            opened.forEach(lane -> lane.meeting = both);
            List<CompletableFuture<DenseResult>> answers = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                answers.add(service.submit("camera " + i, decoder -> decoder.decode(image), () -> false));
            }
            for (CompletableFuture<DenseResult> answer : answers) {
                assertThat(answer.get().output().heads()).hasSameSizeAs(bundle.heads());
            }
        }
    }

    @Test
    void whatCannotBeRecordedIsLaunchedAnew() throws Exception {
        try (DenseModel direct = DenseModel.load(bundle, cpu, MAX_BATCH, null, 1);
                DenseModel model = on(2, Fault.RECORDING)) {
            assertThat(model.describe()).contains("1 at a time").doesNotContain("CUDA graphs");
            ByteBuffer frames = frames(3, 1);
            assertThat(floats(model.infer(frames, 3))).isDeepEqualTo(floats(direct.infer(frames, 3)));
            assertThat(model.heldArrays()).as("the frames of its lane").isEqualTo(1);
        }
        assertThat(opened).allMatch(lane -> lane.closed && lane.recordings.get() == 0);
    }

    @Test
    void aRecordingThatGoesWrongInOneSizeOnOneLaneIsRefused() {
        assertThatThrownBy(() -> on(2, Fault.REPLAY))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining("the golden check fails");
        assertThat(opened).hasSize(2).allMatch(lane -> lane.closed);
    }

    @Test
    void theCallAfterOneThatFailedIsRight() throws Exception {
        try (DenseModel direct = DenseModel.load(bundle, cpu, MAX_BATCH, null, 1);
                DenseModel model = on(1, Fault.NONE)) {
            StandIn lane = opened.get(0);
            lane.failNextDownload = true;
            assertThatThrownBy(() -> model.infer(frames(2, 1), 2)).hasMessage("a download that fails");
            assertThat(lane.pending).as("what was launched before").isZero();
            assertThat(floats(model.infer(frames(2, 2), 2))).isDeepEqualTo(floats(direct.infer(frames(2, 2), 2)));
        }
    }

    @Test
    void timesAreThoseOfTheDeviceAndAddUp() throws Exception {
        try (DenseModel model = on(1, Fault.NONE)) {
            long start = System.nanoTime();
            DenseModel.CallTimings times = model.run(frames(1, 1), 1).timings();
            long wall = System.nanoTime() - start;
            assertThat(times.inputNanos()).isEqualTo(StandIn.NANOS_BETWEEN_MARKS);
            assertThat(times.backboneNanos()).isEqualTo(StandIn.NANOS_BETWEEN_MARKS);
            assertThat(times.upsamplerNanos()).isEqualTo(StandIn.NANOS_BETWEEN_MARKS);
            assertThat(times.outputNanos()).isBetween(0L, wall);
        }
    }

    private int replays() {
        return opened.stream().mapToInt(lane -> lane.replays.get()).sum();
    }

    private ByteBuffer frames(int n, int seed) throws Exception {
        byte[] golden = Files.readAllBytes(TestBundles.TINY.resolve("golden/frames.bin"));
        byte[] noise = new byte[n * bundle.input().frameBytes()];
        new Random(seed).nextBytes(noise);
        for (int i = 0; i < noise.length; i++) {
            noise[i] = (byte) ((golden[i % golden.length] & 0xff) / 2 + (noise[i] & 0x7f));
        }
        return ByteBuffer.allocateDirect(noise.length).put(0, noise);
    }

    private static float[][] floats(List<DenseOutput> outputs) {
        return outputs.stream()
                .flatMap(output -> output.heads().stream())
                .map(HeadOutput::toFloats)
                .toArray(float[][]::new);
    }

    private enum Fault {
        NONE,
        /** Nothing is recorded, as on a GPU that runs out of memory meanwhile. */
        RECORDING,
        /** What the second lane recorded for two frames writes somewhere else. */
        REPLAY
    }

    /** A lane that computes at once, but moves bytes only when it is waited for, as a GPU may. */
    private static final class StandIn implements Lane {
        static final int NANOS_BETWEEN_MARKS = 1000;

        final AtomicInteger recordings = new AtomicInteger();
        final AtomicInteger replays = new AtomicInteger();
        int pending;
        boolean closed;
        boolean failNextDownload;

        @Nullable
        CyclicBarrier meeting;

        private final int number;
        private final Fault fault;
        private final List<NDArray> arrays = new ArrayList<>();
        private final List<Runnable> downloads = new ArrayList<>();
        private boolean along;
        private boolean nowhere;

        StandIn(int number, Fault fault) {
            this.number = number;
            this.fault = fault;
        }

        @Override
        public void along(Runnable calls) {
            if (meeting != null) {
                try {
                    meeting.await(20, TimeUnit.SECONDS);
                } catch (Exception e) {
                    throw new IllegalStateException("the other lane has no call at this time", e);
                }
            }
            along = true;
            try {
                calls.run();
            } finally {
                along = false;
            }
        }

        @Override
        public ByteBuffer pinned(int bytes) {
            return ByteBuffer.allocateDirect(bytes);
        }

        @Override
        public long address(NDArray array) {
            arrays.add(array);
            int last = arrays.size() - 1;
            return last;
        }

        @Override
        public void upload(ByteBuffer from, long address) {
            pending++;
            NDArray to = arrays.get((int) address);
            ByteBuffer whole =
                    ByteBuffer.allocateDirect((int) to.size()).put(0, from, from.position(), from.remaining());
            to.set(whole);
        }

        @Override
        public void download(long address, ByteBuffer to) {
            if (failNextDownload) {
                failNextDownload = false;
                throw new IllegalStateException("a download that fails");
            }
            ByteBuffer bytes = arrays.get((int) address).toByteBuffer();
            ByteBuffer copy = ByteBuffer.allocate(bytes.remaining()).put(bytes).flip();
            if (!nowhere) {
                downloads.add(() -> to.duplicate().put(copy));
            }
        }

        @Override
        public void mark(int mark) {}

        @Override
        public void await(int mark) {
            pending = 0;
            downloads.forEach(Runnable::run);
            downloads.clear();
        }

        @Override
        public long nanos(int from, int to) {
            return Math.multiplyFull(to - from, NANOS_BETWEEN_MARKS);
        }

        @Override
        public Recording record(Runnable launches) {
            assertThat(along).isTrue();
            if (fault == Fault.RECORDING && recordings.get() == 3) {
                throw new IllegalStateException("CUDA out of memory");
            }
            launches.run();
            recordings.incrementAndGet();
            boolean wrong = fault == Fault.REPLAY && number == 1 && recordings.get() == 4;
            return new Recording() {
                @Override
                public void replay() {
                    assertThat(along).isTrue();
                    replays.incrementAndGet();
                    launches.run();
                    nowhere = wrong;
                }

                @Override
                public void close() {
                    recordings.decrementAndGet();
                }
            };
        }

        @Override
        public void close() {
            assertThat(recordings).hasValue(0);
            closed = true;
        }
    }
}
