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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the commands so far have come to. Every subtask has it in broadcast state, so that a subtask that is started
 * anywhere finds one; as JSON of some hundred bytes, whose version says how it is read.
 *
 * @param topic that commands come from; null in a state of version 1, which does not say
 * @param offset of the next command on the control topic
 * @param serving the model that serves
 * @param previous the one before, for a roll back; null if there was none
 * @param next a model that serves frames from a capture time on, beside the one that serves the others; null for none
 * @param nextServes whether the first of those frames has come
 * @param headsOff names of the heads whose records are not written, sorted
 * @param seen ids of the last commands
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
record ControlState(
        int version,
        @Nullable String topic,
        long offset,
        Activation serving,
        @Nullable Activation previous,
        @Nullable Activation next,
        boolean nextServes,
        List<String> headsOff,
        List<String> seen) {
    /** The broadcast state, which has one entry under its own name. */
    static final MapStateDescriptor<String, byte[]> DESCRIPTOR =
            new MapStateDescriptor<>("model-control", StringSerializer.INSTANCE, BytePrimitiveArraySerializer.INSTANCE);

    private static final Logger LOG = LoggerFactory.getLogger(ControlState.class);
    private static final int VERSION = 2;
    private static final int MAX_SEEN = 100;

    /** Loaded where there are commands: its classes are many, and each job has its own. */
    private static final class Json {
        static final JsonMapper MAPPER = new JsonMapper();
    }

    /** Before any command. */
    static ControlState startingAt(String topic, long offset) {
        return new ControlState(VERSION, topic, offset, Activation.CONFIGURED, null, null, false, List.of(), List.of());
    }

    /**
     * What is in the broadcast state.
     *
     * @param control where commands come from now
     * @throws IOException if the state is of a later version
     */
    static ControlState read(BroadcastState<String, byte[]> broadcast, ModelControl control) throws Exception {
        byte[] bytes = broadcast.get(DESCRIPTOR.getName());
        if (bytes == null) {
            return startingAt(control.topic(), control.start());
        }
        int version = Json.MAPPER.readTree(bytes).path("version").asInt();
        if (version < 1 || version > VERSION) {
            throw new IOException("state of the model's control: version %d (expected: 1 to %d, or a newer release)"
                    .formatted(version, VERSION));
        }
        return Json.MAPPER.readValue(bytes, ControlState.class).readFrom(control);
    }

    /** An offset says nothing of another topic, which is read as by a job without state. */
    private ControlState readFrom(ModelControl control) {
        boolean same = topic == null || topic.equals(control.topic());
        if (!same) {
            LOG.warn(
                    "commands come from topic {} now, before from {}: those from offset {} on are carried out",
                    control.topic(),
                    topic,
                    control.start());
        }
        return new ControlState(
                VERSION,
                control.topic(),
                same ? offset : control.start(),
                serving,
                previous,
                next,
                nextServes,
                headsOff,
                seen);
    }

    void write(BroadcastState<String, byte[]> broadcast) throws Exception {
        broadcast.put(DESCRIPTOR.getName(), Json.MAPPER.writeValueAsBytes(this));
    }

    /** The command before this offset is done with. */
    ControlState done(long nextOffset, String commandId) {
        List<String> ids = Stream.concat(seen.stream(), Stream.of(commandId)).toList();
        return new ControlState(
                version,
                topic,
                nextOffset,
                serving,
                previous,
                next,
                nextServes,
                headsOff,
                new ArrayList<>(ids.subList(Math.max(0, ids.size() - MAX_SEEN), ids.size())));
    }

    /** The configured bundle serves, and was found to have this hash. */
    ControlState configured(String sha256) {
        return with(Activation.configured(sha256), previous, next, nextServes, headsOff);
    }

    /** This model serves all frames from now on. */
    ControlState activated(Activation model) {
        return with(model.now(), serving, null, false, headsOff);
    }

    /** This model is to serve frames from its capture time on; null for none. */
    ControlState scheduled(@Nullable Activation model) {
        return with(serving, previous, model, false, headsOff);
    }

    /** The first frame of the scheduled model has come. */
    ControlState nextServing() {
        return with(serving, previous, next, true, headsOff);
    }

    /** The records of a head are written, or are not. */
    ControlState head(String name, boolean on) {
        TreeSet<String> off = new TreeSet<>(headsOff);
        boolean unused = on ? off.remove(name) : off.add(name);
        return with(serving, previous, next, nextServes, List.copyOf(off));
    }

    private ControlState with(
            Activation serves,
            @Nullable Activation before,
            @Nullable Activation scheduled,
            boolean scheduledServes,
            List<String> off) {
        return new ControlState(version, topic, offset, serves, before, scheduled, scheduledServes, off, seen);
    }

    /** The bundles that have to stay in the cache. */
    List<String> hashes() {
        return Stream.of(serving, previous, next)
                .filter(model -> model != null && !model.isConfigured())
                .map(Activation::sha256)
                .toList();
    }
}
