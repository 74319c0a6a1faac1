package io.upliftstream.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.upliftstream.model.DenseModel.Batch;
import io.upliftstream.model.DenseModel.CallTimings;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model's two graphs on lanes of a device: as many calls at a time as there are lanes. A call's frames go to the device,
 * through both graphs, and their outputs come back, before anybody waits. Where the device can, what the graphs launch is
 * recorded once for every size of a batch, and replayed.
 */
final class Lanes implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Lanes.class);

    // the marks of a call
    private static final int STARTED = 0;
    private static final int UPLOADED = 1;
    private static final int FEATURES = 2;
    private static final int UPSAMPLED = 3;
    private static final int DOWNLOADED = 4;

    private final TorchGraph backbone;
    private final TorchGraph upsampler;
    private final InputSpec input;
    private final OutputArrays outputs;
    private final int maxBatch;
    private final List<Served> all = new ArrayList<>();
    private final BlockingQueue<Served> free;
    private boolean recorded;

    /**
     * Opens lanes.
     *
     * @param count that run at a time
     * @param maxBatch frames of the largest call
     * @throws BundleException if there are none
     */
    static Lanes open(
            Lane.Opener opener, int count, TorchGraph backbone, TorchGraph upsampler, ModelBundle bundle, int maxBatch)
            throws BundleException {
        List<Lane> lanes = new ArrayList<>();
        try {
            while (lanes.size() < count) {
                lanes.add(opener.open());
            }
            return new Lanes(lanes, backbone, upsampler, bundle, maxBatch);
        } catch (BundleException | RuntimeException | Error e) {
            lanes.forEach(Lane::close);
            throw e;
        }
    }

    private Lanes(List<Lane> lanes, TorchGraph backbone, TorchGraph upsampler, ModelBundle bundle, int maxBatch) {
        this.backbone = backbone;
        this.upsampler = upsampler;
        this.maxBatch = maxBatch;
        input = bundle.input();
        outputs = new OutputArrays(bundle.heads());
        free = new ArrayBlockingQueue<>(lanes.size());
        lanes.forEach(lane -> all.add(new Served(lane)));
        free.addAll(all);
    }

    /**
     * Runs every size of a batch until PyTorch has optimised the graphs for it, then records it if the device can.
     *
     * @param calls within which PyTorch optimises a graph
     * @param giveBackMemory gives back what calls left in PyTorch's cache: recordings have memory of their own
     * @return why nothing is recorded, and one lane serves alone; null if everything is
     */
    @Nullable
    String prepare(int calls, Runnable giveBackMemory) {
        ByteBuffer frames = ByteBuffer.allocateDirect(maxBatch * input.frameBytes());
        for (Served lane : all) {
            for (int n = maxBatch; n > 0; n--) {
                for (int call = 0; call < calls; call++) {
                    lane.compute(frames, n);
                }
            }
        }
        try {
            all.forEach(lane -> lane.record(frames, giveBackMemory));
            recorded = true;
            return null;
        } catch (RuntimeException e) {
            LOG.debug("nothing is recorded", e);
            all.forEach(Served::forget);
            // Launching from two threads at a time meets races of PyTorch 2.7's cuBLAS workspaces.
            while (all.size() > 1) {
                Served surplus = all.remove(1);
                free.remove(surplus);
                surplus.close();
            }
            return String.valueOf(e.getMessage());
        } finally {
            giveBackMemory.run();
        }
    }

    /** Runs a batch on the lane that has been free for longest, once there is one. */
    Batch run(ByteBuffer rgb, int n) {
        Served lane;
        try {
            lane = free.take();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted before a lane was free", e);
        }
        try {
            return lane.run(rgb, n);
        } finally {
            free.add(lane);
        }
    }

    int count() {
        return all.size();
    }

    /** Whether calls are replayed. */
    boolean recorded() {
        return recorded;
    }

    @Override
    public void close() {
        all.forEach(Served::close);
    }

    /** A lane with what calls along it have in common. */
    private final class Served {
        private final Lane lane;
        private final NDManager arrays = backbone.arrays();
        private final NDArray frames;
        private final long framesAddress;
        private final ByteBuffer stagedFrames;
        private final List<ByteBuffer> stagedOutputs = new ArrayList<>();
        /** By the frames of a call, less one. */
        private final List<Call> calls = new ArrayList<>();

        Served(Lane lane) {
            this.lane = lane;
            frames = arrays.create(new Shape(maxBatch, input.height(), input.width(), 3), DataType.UINT8);
            framesAddress = lane.address(frames);
            stagedFrames = lane.pinned(maxBatch * input.frameBytes());
            for (int bytes : outputs.frameBytes()) {
                stagedOutputs.add(lane.pinned(Math.multiplyExact(maxBatch, bytes)));
            }
            for (int n = 1; n <= maxBatch; n++) {
                calls.add(new Call(n));
            }
        }

        Batch run(ByteBuffer rgb, int n) {
            long start = System.nanoTime();
            compute(rgb, n);
            List<DenseOutput> copied = outputs.copy(stagedOutputs, n);
            long backboneNanos = lane.nanos(UPLOADED, FEATURES);
            long upsamplerNanos = lane.nanos(FEATURES, UPSAMPLED);
            long inputNanos = lane.nanos(STARTED, UPLOADED);
            long outputNanos = System.nanoTime() - start - inputNanos - backboneNanos - upsamplerNanos;
            return new Batch(copied, new CallTimings(inputNanos, backboneNanos, upsamplerNanos, outputNanos));
        }

        /** Outputs are in {@link #stagedOutputs} then. */
        private void compute(ByteBuffer rgb, int n) {
            Call call = calls.get(n - 1);
            stagedFrames.put(0, rgb, 0, n * input.frameBytes());
            try {
                lane.along(() -> launch(call));
                lane.await(DOWNLOADED);
            } catch (RuntimeException | Error e) {
                settle(e); // or the next call's frames would go where these are still read
                throw e;
            } finally {
                call.freeArrays();
            }
        }

        private void launch(Call call) {
            lane.mark(STARTED);
            lane.upload(stagedFrames.slice(0, call.n * input.frameBytes()), framesAddress);
            lane.mark(UPLOADED);
            call.launchBackbone();
            lane.mark(FEATURES);
            call.launchUpsampler();
            lane.mark(UPSAMPLED);
            for (int i = 0; i < stagedOutputs.size(); i++) {
                ByteBuffer staged = stagedOutputs.get(i);
                lane.download(call.addresses.get(i), staged.slice(0, staged.capacity() / maxBatch * call.n));
            }
            lane.mark(DOWNLOADED);
        }

        /** Waits for what a call that failed has launched. */
        private void settle(Throwable failure) {
            try {
                lane.mark(DOWNLOADED);
                lane.await(DOWNLOADED);
            } catch (RuntimeException e) {
                failure.addSuppressed(e);
            }
        }

        /** Records all sizes, the largest first: the others then find its memory free. */
        void record(ByteBuffer anyFrames, Runnable giveBackMemory) {
            for (int n = maxBatch; n > 0; n--) {
                compute(anyFrames, n); // so that nothing is optimised or loaded for this size while it is recorded
                giveBackMemory.run(); // which nobody can while somebody records
                lane.along(calls.get(n - 1)::record);
            }
        }

        void forget() {
            calls.forEach(Call::forget);
        }

        void close() {
            forget();
            lane.close();
            arrays.close();
        }

        /** A call with a number of frames. */
        private final class Call {
            private final int n;
            private List<Long> addresses = List.of();
            private @Nullable NDManager scratch;
            private @Nullable NDArray features;
            private Lane.@Nullable Recording backboneRecording;
            private Lane.@Nullable Recording upsamplerRecording;

            Call(int n) {
                this.n = n;
            }

            void launchBackbone() {
                if (backboneRecording != null) {
                    backboneRecording.replay();
                } else {
                    computeFeatures();
                }
            }

            void launchUpsampler() {
                if (upsamplerRecording != null) {
                    upsamplerRecording.replay();
                } else {
                    computeOutputs();
                }
            }

            void record() {
                try {
                    backboneRecording = lane.record(this::computeFeatures);
                    upsamplerRecording = lane.record(this::computeOutputs);
                } finally {
                    freeArrays(); // recordings need their places alone
                }
            }

            void forget() {
                if (backboneRecording != null) {
                    backboneRecording.close();
                    backboneRecording = null;
                }
                if (upsamplerRecording != null) {
                    upsamplerRecording.close();
                    upsamplerRecording = null;
                }
            }

            private void computeFeatures() {
                scratch = backbone.arrays();
                features = backbone.forward(scratch, ofThisCall(scratch)).singletonOrThrow();
            }

            private void computeOutputs() {
                NDManager used = Objects.requireNonNull(scratch);
                NDList found = upsampler.forward(used, ofThisCall(used), Objects.requireNonNull(features));
                outputs.check(found, n);
                // Maps may lie in memory channels last; flat, they are in the order of their shape.
                addresses =
                        found.stream().map(NDArray::flatten).map(lane::address).toList();
            }

            /** What a graph makes belongs to the manager of its first input. */
            private NDArray ofThisCall(NDManager owner) {
                NDArray view = frames.get("0:" + n);
                view.attach(owner);
                return view;
            }

            void freeArrays() {
                if (scratch != null) {
                    scratch.close();
                    scratch = null;
                    features = null;
                }
            }
        }
    }
}
