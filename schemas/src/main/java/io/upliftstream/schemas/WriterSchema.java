package io.upliftstream.schemas;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.Schema.Field;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.Incompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.SchemaCompatibility.SchemaPairCompatibility;
import org.jspecify.annotations.NullMarked;

/**
 * What a schema of somebody else has to be before records are read with it: then the work of reading a record grows with
 * its bytes, whatever these are. A type that takes no bytes could stand in an array of any length, and one that holds
 * itself could go as deep as it says.
 */
@NullMarked
final class WriterSchema {
    private static final int MAX_DEPTH = 32;

    /** A named type counts wherever it is used. */
    private static final int MAX_TYPES = 2000;

    private int types;

    private WriterSchema() {}

    /** @throws MalformedRecordException if records of the schema cannot, or should not, be read as the reader's */
    static void check(Schema writer, Schema reader) {
        new WriterSchema().check(writer, writer.getName(), new HashSet<>());
        SchemaPairCompatibility pair = SchemaCompatibility.checkReaderWriterCompatibility(reader, present(writer));
        if (pair.getType() != SchemaCompatibilityType.COMPATIBLE) {
            List<Incompatibility> problems = pair.getResult().getIncompatibilities();
            String first = problems.isEmpty()
                    ? "another type"
                    : problems.get(0).getMessage() + " at " + problems.get(0).getLocation();
            throw refused(
                    "%s, which does not resolve: %s".formatted(writer.getFullName(), SchemaRegistry.bounded(first)),
                    "one that " + reader.getName() + " can be read from");
        }
    }

    /** Without null beside other types, as which Kafka Connect and Flink SQL write: only a record with one is wrong. */
    private static Schema present(Schema type) {
        return switch (type.getType()) {
            case ARRAY -> Schema.createArray(present(type.getElementType()));
            case MAP -> Schema.createMap(present(type.getValueType()));
            case UNION -> {
                List<Schema> branches = type.getTypes().stream()
                        .filter(branch -> branch.getType() != Schema.Type.NULL)
                        .map(WriterSchema::present)
                        .toList();
                yield branches.isEmpty() ? type : branches.size() == 1 ? branches.get(0) : Schema.createUnion(branches);
            }
            case RECORD ->
                Schema.createRecord(
                        type.getName(),
                        null,
                        type.getNamespace(),
                        type.isError(),
                        type.getFields().stream()
                                .map(field -> new Field(field.name(), present(field.schema())))
                                .toList());
            default -> type;
        };
    }

    private void check(Schema type, String path, Set<String> within) {
        if (++types > MAX_TYPES || within.size() > MAX_DEPTH) {
            throw refused(
                    path + " goes on and on", "at most " + MAX_TYPES + " types, nested at most " + MAX_DEPTH + " deep");
        }
        switch (type.getType()) {
            case NULL -> throw refused(path + " is null outside of a union", "types that take at least a byte");
            case FIXED -> {
                if (type.getFixedSize() == 0) {
                    throw refused(path + " is fixed of no bytes", "types that take at least a byte");
                }
            }
            case ARRAY -> inside(type, path, within, () -> check(type.getElementType(), path + "[]", within));
            case MAP -> inside(type, path, within, () -> check(type.getValueType(), path + "{}", within));
            case UNION ->
                inside(type, path, within, () -> type.getTypes().stream()
                        .filter(branch -> branch.getType() != Schema.Type.NULL)
                        .forEach(branch -> check(branch, path, within)));
            case RECORD ->
                inside(type, path, within, () -> {
                    if (type.getFields().isEmpty()) {
                        throw refused(path + " is a record of no fields", "types that take at least a byte");
                    }
                    for (Field field : type.getFields()) {
                        check(field.schema(), path + "." + field.name(), within);
                    }
                });
            default -> {} // takes at least a byte
        }
    }

    private static void inside(Schema type, String path, Set<String> within, Runnable checks) {
        String step = type.getType() == Schema.Type.RECORD ? type.getFullName() : path + within.size();
        if (!within.add(step)) {
            throw refused(path + " holds itself", "a type of a known depth");
        }
        checks.run();
        within.remove(step);
    }

    private static MalformedRecordException refused(String found, String expected) {
        return new MalformedRecordException(
                "writer's schema: %s (expected: %s)".formatted(SchemaRegistry.bounded(found), expected));
    }
}
