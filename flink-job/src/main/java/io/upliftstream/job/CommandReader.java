package io.upliftstream.job;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.jspecify.annotations.Nullable;

/** Reads a command, Avro in single-object encoding or JSON of the same fields, and refuses what no command says. */
final class CommandReader {
    private static final int MAX_BYTES = 16 << 10;
    private static final int MAX_TEXT = 2000;

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private static final Set<String> FIELDS = ModelCommand.getClassSchema().getFields().stream()
            .map(Schema.Field::name)
            .collect(Collectors.toUnmodifiableSet());

    private static final String ACTIONS = Arrays.stream(ModelAction.values())
            .filter(action -> action != ModelAction.UNKNOWN)
            .map(Enum::name)
            .collect(Collectors.joining(", "));

    private CommandReader() {}

    /** @throws RefusedException if the value is no command */
    static ModelCommand read(byte @Nullable [] value) throws RefusedException {
        if (value == null || value.length == 0 || value.length > MAX_BYTES) {
            throw new RefusedException(
                    "command: %d bytes (expected: 1 to %d)".formatted(value == null ? 0 : value.length, MAX_BYTES));
        }
        ModelCommand command;
        if (value[0] == (byte) 0xC3) {
            try {
                command = SingleObject.decode(value, ModelCommand.class);
            } catch (MalformedRecordException e) {
                throw new RefusedException(String.valueOf(e.getMessage()));
            }
        } else {
            command = json(value);
        }
        check(command);
        return command;
    }

    private static ModelCommand json(byte[] value) throws RefusedException {
        JsonNode root;
        try {
            root = JSON.readTree(value);
        } catch (IOException e) {
            throw new RefusedException("command: neither Avro nor JSON (expected: a ModelCommand)");
        }
        if (!root.isObject()) {
            throw new RefusedException("command: no JSON object (expected: a ModelCommand)");
        }
        Set<String> unknown = new TreeSet<>();
        root.fieldNames().forEachRemaining(unknown::add);
        unknown.removeAll(FIELDS);
        if (!unknown.isEmpty()) {
            throw new RefusedException("command: field %s (expected: one of %s)"
                    .formatted(unknown.iterator().next(), new TreeSet<>(FIELDS)));
        }
        JsonNode from = root.path("fromCaptureTimeMicros");
        if (!from.isMissingNode() && !from.isNull() && !(from.isIntegralNumber() && from.canConvertToLong())) {
            throw new RefusedException("fromCaptureTimeMicros: %s (expected: a whole number)".formatted(from));
        }
        String action = text(root, "action");
        return ModelCommand.newBuilder()
                .setId(empty(text(root, "id")))
                .setAction(Arrays.stream(ModelAction.values())
                        .filter(known -> known.name().equals(action))
                        .findFirst()
                        .orElse(ModelAction.UNKNOWN))
                .setBundle(text(root, "bundle"))
                .setSha256(text(root, "sha256"))
                .setFromCaptureTimeMicros(from.isIntegralNumber() ? (Long) from.longValue() : null)
                .setHead(text(root, "head"))
                .build();
    }

    private static @Nullable String text(JsonNode root, String name) throws RefusedException {
        JsonNode field = root.path(name);
        if (field.isMissingNode() || field.isNull()) {
            return null;
        }
        if (!field.isTextual()) {
            throw new RefusedException(name + ": " + field.getNodeType() + " (expected: a text)");
        }
        return field.textValue();
    }

    private static String empty(@Nullable String text) {
        return text == null ? "" : text;
    }

    private static void check(ModelCommand command) throws RefusedException {
        if (!command.getId().matches("[\\p{Graph}]{1,100}")) {
            throw new RefusedException("id: %d characters (expected: 1 to 100 of ASCII, without blanks)"
                    .formatted(command.getId().length()));
        }
        for (String text : List.of(
                command.getBundle().orElse(""),
                command.getHead().orElse(""),
                command.getSha256().orElse(""))) {
            if (text.length() > MAX_TEXT) {
                throw new RefusedException(
                        "command: a text of %d characters (expected: at most %d)".formatted(text.length(), MAX_TEXT));
            }
        }
        switch (command.getAction()) {
            case ACTIVATE -> {
                if (command.getBundle().orElse("").isBlank()) {
                    throw new RefusedException("bundle: none (expected: the URI of a bundle's directory)");
                }
                if (!command.getSha256().orElse("").matches("[0-9a-f]{64}")) {
                    throw new RefusedException(
                            "sha256: %s (expected: that of the bundle's manifest.json, 64 hexadecimal digits)"
                                    .formatted(command.getSha256().orElse("none")));
                }
            }
            case HEAD_ON, HEAD_OFF -> {
                if (command.getHead().isEmpty()) {
                    throw new RefusedException("head: none (expected: the name of a head)");
                }
            }
            case UNKNOWN -> throw new RefusedException("action: none that is known (expected: " + ACTIONS + ")");
            case ROLL_BACK, STATUS -> {}
        }
    }
}
