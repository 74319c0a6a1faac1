package io.upliftstream.job;

import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SchemaRegistry;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.WireFormat;
import java.io.Serializable;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;
import org.apache.avro.specific.SpecificRecord;

/** How a record becomes the value of a Kafka record. Asks nobody: the ids of schemas are known when it is made. */
public interface Framing extends Serializable {
    /** Avro's single-object encoding. */
    Framing SINGLE_OBJECT = (topic, record) -> SingleObject.encode(record);

    /**
     * The value of a Kafka record on a topic.
     *
     * @throws IllegalArgumentException if the framing was not made for such records there
     */
    byte[] encode(String topic, SpecificRecord record);

    /** An id that the registry gave one of the records' schemas; empty where there is no registry. */
    default OptionalInt ownId() {
        return OptionalInt.empty();
    }

    /**
     * Confluent's wire format.
     *
     * @param ids by topic and by the record's class
     */
    record Registered(Map<String, Map<String, Integer>> ids) implements Framing {
        @Override
        public byte[] encode(String topic, SpecificRecord record) {
            Integer id = ids.getOrDefault(topic, Map.of()).get(record.getClass().getName());
            if (id == null) {
                throw new IllegalArgumentException(
                        "topic %s: %s (expected: one of %s)".formatted(topic, record.getClass(), ids));
            }
            return WireFormat.encode(record, id);
        }

        @Override
        public OptionalInt ownId() {
            return ids.values().stream()
                    .flatMap(types -> types.values().stream())
                    .mapToInt(Integer::intValue)
                    .findFirst();
        }
    }

    /**
     * The framing of the settings: Confluent's wire format if they name a schema registry, which is asked for the ids.
     *
     * @param records that are written to each topic
     * @throws StartupException if it does not have them
     */
    static Framing of(JobSettings settings, Map<String, Set<Class<? extends SpecificRecord>>> records) {
        Optional<SchemaRegistry> registry = RegistryOptions.open(settings);
        if (registry.isEmpty()) {
            return SINGLE_OBJECT;
        }
        return new Registered(inAThread(() -> {
            Map<String, Map<String, Integer>> found = new HashMap<>();
            records.forEach(
                    (topic, types) -> types.forEach(type -> found.computeIfAbsent(topic, unused -> new HashMap<>())
                            .put(type.getName(), id(settings, registry.get(), topic, type))));
            return found;
        }));
    }

    /** In one that ends: Avro leaves thread locals behind, which would keep the job's classes in a JobManager. */
    private static <T> T inAThread(Supplier<T> work) {
        try {
            return CompletableFuture.supplyAsync(work, task -> new Thread(task, "schema registry").start())
                    .join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof StartupException startup ? startup : e;
        }
    }

    private static int id(
            JobSettings settings, SchemaRegistry registry, String topic, Class<? extends SpecificRecord> type) {
        String subject = RegistryOptions.subject(settings, topic, type.getName());
        boolean register = settings.get(RegistryOptions.REGISTER);
        try {
            return register
                    ? registry.register(subject, SingleObject.schema(type))
                    : registry.lookUp(subject, SingleObject.schema(type));
        } catch (RegistryException e) {
            String advice = !register && e.reason() == RegistryException.Reason.UNKNOWN
                    ? "; %s=true registers it".formatted(RegistryOptions.REGISTER.key())
                    : "";
            throw new StartupException(StartupException.ENVIRONMENT, e.getMessage() + advice, e);
        }
    }
}
