package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.util.NativeResource;
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;

/** A lane of the {@link OperatorLibrary} ({@code model/cuda/lane.cpp}). */
final class NativeLane implements Lane {
    private static final int CPU = -1;
    private static final int RTLD_LAZY = 1;

    private final Functions functions;
    private final Pointer lane;

    /** The library's functions. */
    @SuppressWarnings("checkstyle:MethodName")
    private interface Functions extends Library {
        String uplift_error();

        int uplift_lane_open(int device, PointerByReference lane);

        int uplift_lane_close(Pointer lane);

        int uplift_lane_enter(Pointer lane);

        int uplift_lane_leave(Pointer lane);

        int uplift_lane_pinned(Pointer lane, long bytes, PointerByReference memory);

        int uplift_lane_copy(Pointer lane, Pointer to, Pointer from, long bytes);

        int uplift_lane_mark(Pointer lane, int mark);

        int uplift_lane_await(Pointer lane, int mark);

        int uplift_lane_nanos(Pointer lane, int from, int to, LongByReference nanos);

        int uplift_lane_record(Pointer lane);

        int uplift_lane_recorded(Pointer lane, PointerByReference recording);

        int uplift_recording_replay(Pointer recording);

        int uplift_recording_delete(Pointer recording);

        int uplift_tensor_data(Pointer tensor, PointerByReference data);
    }

    private NativeLane(Functions functions, Pointer lane) {
        this.functions = functions;
        this.lane = lane;
    }

    /**
     * Opens a lane to a device.
     *
     * @param library that DJL has loaded
     * @throws BundleException if the library is one without lanes
     * @throws IllegalStateException if the device does not work
     */
    static NativeLane open(Path library, Device device) throws BundleException {
        PointerByReference lane = new PointerByReference();
        try {
            // Not JNA's default, by which all that libtorch brings would stand in for what other libraries ask for.
            Functions functions = Native.load(
                    library.toAbsolutePath().toString(), Functions.class, Map.of(Library.OPTION_OPEN_FLAGS, RTLD_LAZY));
            check(functions, functions.uplift_lane_open(device.isGpu() ? device.getDeviceId() : CPU, lane));
            return new NativeLane(functions, lane.getValue());
        } catch (UnsatisfiedLinkError e) {
            throw new BundleException(
                    "%s: %s: a library of another version, %s (expected: what this version's model/cuda/build makes)"
                            .formatted(OperatorLibrary.VARIABLE, library, e.getMessage()),
                    e);
        }
    }

    private static void check(Functions functions, int error) {
        if (error != 0) {
            throw new IllegalStateException(functions.uplift_error());
        }
    }

    private void check(int error) {
        check(functions, error);
    }

    @Override
    public void along(Runnable calls) {
        check(functions.uplift_lane_enter(lane));
        try {
            calls.run();
        } finally {
            check(functions.uplift_lane_leave(lane));
        }
    }

    @Override
    public ByteBuffer pinned(int bytes) {
        PointerByReference memory = new PointerByReference();
        check(functions.uplift_lane_pinned(lane, bytes, memory));
        return memory.getValue().getByteBuffer(0, bytes);
    }

    @Override
    public long address(NDArray array) {
        PointerByReference data = new PointerByReference();
        long handle = (Long) Objects.requireNonNull(((NativeResource<?>) array).getHandle());
        check(functions.uplift_tensor_data(new Pointer(handle), data));
        return Pointer.nativeValue(data.getValue());
    }

    @Override
    public void upload(ByteBuffer from, long address) {
        check(functions.uplift_lane_copy(lane, new Pointer(address), start(from), from.remaining()));
    }

    @Override
    public void download(long address, ByteBuffer to) {
        check(functions.uplift_lane_copy(lane, start(to), new Pointer(address), to.remaining()));
    }

    private static Pointer start(ByteBuffer buffer) {
        return Native.getDirectBufferPointer(buffer).share(buffer.position());
    }

    @Override
    public void mark(int mark) {
        check(functions.uplift_lane_mark(lane, mark));
    }

    @Override
    public void await(int mark) {
        check(functions.uplift_lane_await(lane, mark));
    }

    @Override
    public long nanos(int from, int to) {
        LongByReference nanos = new LongByReference();
        check(functions.uplift_lane_nanos(lane, from, to, nanos));
        return nanos.getValue();
    }

    @Override
    public Recording record(Runnable launches) {
        Pointer recording;
        synchronized (PyTorch.ALLOCATOR) {
            recording = recorded(launches);
        }
        return new Recording() {
            @Override
            public void replay() {
                check(functions.uplift_recording_replay(recording));
            }

            @Override
            public void close() {
                synchronized (PyTorch.ALLOCATOR) {
                    check(functions.uplift_recording_delete(recording));
                }
            }
        };
    }

    private Pointer recorded(Runnable launches) {
        PointerByReference recording = new PointerByReference();
        check(functions.uplift_lane_record(lane));
        try {
            launches.run();
        } catch (RuntimeException | Error e) {
            if (functions.uplift_lane_recorded(lane, recording) == 0) {
                functions.uplift_recording_delete(recording.getValue());
            }
            throw e;
        }
        check(functions.uplift_lane_recorded(lane, recording));
        return recording.getValue();
    }

    @Override
    public void close() {
        check(functions.uplift_lane_close(lane));
    }
}
