package io.upliftstream.job;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.OperatorStateStore;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.jspecify.annotations.Nullable;

/**
 * What a checkpoint holds of the videos: a hundred bytes or two for every camera, and nothing, not even an empty list, until
 * the first packet. The packets themselves are on Kafka.
 */
final class VideoState {
    private static final String NAME = "video";
    private static final int VERSION = 1;

    private final OperatorStateStore store;
    private @Nullable ListState<byte[]> list;

    VideoState(OperatorStateStore store) {
        this.store = store;
    }

    /** What makes a video one: its camera, and the partition that has its packets in their order. */
    record VideoId(String cameraId, String topic, int partition) {
        static VideoId of(Frame packet) {
            RawFrame source = packet.source();
            return new VideoId(packet.cameraId(), source.topic(), source.partition());
        }
    }

    /**
     * A camera's video at a checkpoint.
     *
     * @param start offset of the key frame that a decoder has to begin with; -1 if it waits for one
     * @param last offset of the newest packet that was taken
     * @param owed offsets of the packets up to it whose outcome is not out: their pictures are in the decoder
     * @param shown pictures so far, for the choice of every n-th
     * @param nextMicros capture time from which on a picture is chosen by time
     * @param parameterSets that the stream last stated
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Camera(
            VideoId id, long start, long last, List<Long> owed, long shown, long nextMicros, byte[] parameterSets) {
        byte[] bytes() throws IOException {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            DataOutputStream out = new DataOutputStream(bytes);
            out.writeByte(VERSION);
            out.writeUTF(id.cameraId());
            out.writeUTF(id.topic());
            out.writeInt(id.partition());
            out.writeLong(start);
            out.writeLong(last);
            out.writeInt(owed.size());
            for (long offset : owed) {
                out.writeLong(offset);
            }
            out.writeLong(shown);
            out.writeLong(nextMicros);
            out.writeInt(parameterSets.length);
            out.write(parameterSets);
            return bytes.toByteArray();
        }

        static Camera read(byte[] bytes) throws IOException {
            DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes));
            int version = in.readByte();
            if (version != VERSION) {
                throw new IOException("state of a video: version %d (expected: %d)".formatted(version, VERSION));
            }
            VideoId id = new VideoId(in.readUTF(), in.readUTF(), in.readInt());
            long start = in.readLong();
            long last = in.readLong();
            List<Long> owed = new ArrayList<>();
            for (int i = in.readInt(); i > 0; i--) {
                owed.add(in.readLong());
            }
            return new Camera(id, start, last, owed, in.readLong(), in.readLong(), in.readNBytes(in.readInt()));
        }

        /** Whether this says more than another of the same video: what nobody had claimed may be there twice. */
        private boolean newerThan(Camera other) {
            return last != other.last ? last > other.last : owed.size() < other.owed.size();
        }
    }

    /** The cameras of all subtasks at the checkpoint that the job starts from, by their videos. */
    Map<VideoId, Camera> restore() throws Exception {
        Map<VideoId, Camera> cameras = new HashMap<>();
        if (store.getRegisteredStateNames().contains(NAME)) {
            for (byte[] bytes : list().get()) {
                Camera camera = Camera.read(bytes);
                cameras.merge(camera.id(), camera, (one, other) -> other.newerThan(one) ? other : one);
            }
        }
        return cameras;
    }

    void write(Collection<Camera> cameras) throws Exception {
        if (list == null && cameras.isEmpty()) {
            return;
        }
        List<byte[]> entries = new ArrayList<>();
        for (Camera camera : cameras) {
            entries.add(camera.bytes());
        }
        list().update(entries);
    }

    private ListState<byte[]> list() throws Exception {
        if (list == null) {
            list = store.getUnionListState(new ListStateDescriptor<>(NAME, BytePrimitiveArraySerializer.INSTANCE));
        }
        return list;
    }
}
