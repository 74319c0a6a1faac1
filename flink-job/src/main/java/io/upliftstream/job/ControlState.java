package io.upliftstream.job;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.apache.flink.api.common.state.BroadcastState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeutils.base.StringSerializer;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.jspecify.annotations.Nullable;

/**
 * What the commands so far have come to. Every subtask has it in broadcast state, so that a subtask that is started
 * anywhere finds one; as JSON of some hundred bytes, whose version says how it is read.
 *
 * @param offset of the next command on the control topic
 * @param serving the model that serves
 * @param previous the one before, for a roll back; null if there was none
 * @param next a model that serves frames from a capture time on, beside the one that serves the others; null for none
 * @param headsOff names of the heads whose records are not written, sorted
 * @param seen ids of the last commands
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
record ControlState(
        int version,
        long offset,
        Activation serving,
        @Nullable Activation previous,
        @Nullable Activation next,
        List<String> headsOff,
        List<String> seen) {
    /** The broadcast state, which has one entry under its own name. */
    static final MapStateDescriptor<String, byte[]> DESCRIPTOR =
            new MapStateDescriptor<>("model-control", StringSerializer.INSTANCE, BytePrimitiveArraySerializer.INSTANCE);

    private static final int VERSION = 1;
    private static final int MAX_SEEN = 100;

    /** Loaded where there are commands: its classes are many, and each job has its own. */
    private static final class Json {
        static final JsonMapper MAPPER = new JsonMapper();
    }

    /** Before any command. */
    static ControlState startingAt(long offset) {
        return new ControlState(VERSION, offset, Activation.CONFIGURED, null, null, List.of(), List.of());
    }

    /**
     * What is in the broadcast state.
     *
     * @param start offset of the first command where there is no state
     * @throws IOException if the state is of a later version
     */
    static ControlState read(BroadcastState<String, byte[]> broadcast, long start) throws Exception {
        byte[] bytes = broadcast.get(DESCRIPTOR.getName());
        if (bytes == null) {
            return startingAt(start);
        }
        int version = Json.MAPPER.readTree(bytes).path("version").asInt();
        if (version != VERSION) {
            throw new IOException("state of the model's control: version %d (expected: %d, or a newer release)"
                    .formatted(version, VERSION));
        }
        return Json.MAPPER.readValue(bytes, ControlState.class);
    }

    void write(BroadcastState<String, byte[]> broadcast) throws Exception {
        broadcast.put(DESCRIPTOR.getName(), Json.MAPPER.writeValueAsBytes(this));
    }

    /** The command before this offset is done with. */
    ControlState done(long nextOffset, String commandId) {
        List<String> ids = Stream.concat(seen.stream(), Stream.of(commandId)).toList();
        return new ControlState(
                version,
                nextOffset,
                serving,
                previous,
                next,
                headsOff,
                new ArrayList<>(ids.subList(Math.max(0, ids.size() - MAX_SEEN), ids.size())));
    }

    /** This model serves all frames from now on. */
    ControlState activated(Activation model) {
        return new ControlState(version, offset, model.now(), serving, null, headsOff, seen);
    }

    /** This model serves frames from its capture time on; null for none. */
    ControlState scheduled(@Nullable Activation model) {
        return new ControlState(version, offset, serving, previous, model, headsOff, seen);
    }

    /** The records of a head are written, or are not. */
    ControlState head(String name, boolean on) {
        TreeSet<String> off = new TreeSet<>(headsOff);
        boolean unused = on ? off.remove(name) : off.add(name);
        return new ControlState(version, offset, serving, previous, next, List.copyOf(off), seen);
    }

    /** The bundles that have to stay in the cache. */
    List<String> hashes() {
        return Stream.of(serving, previous, next)
                .filter(model -> model != null && !model.isConfigured())
                .map(Activation::sha256)
                .toList();
    }
}
