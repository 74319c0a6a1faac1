package io.upliftstream.model;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A value in a JSON file of a bundle, which knows where it stands and so can say what is wrong with it. */
final class JsonField {
    private final String file;
    private final String path;
    private final JsonNode node;

    /**
     * The root of a JSON file.
     *
     * @param file what errors call it
     */
    JsonField(String file, JsonNode root) {
        this(file, "", root);
    }

    private JsonField(String file, String path, JsonNode node) {
        this.file = file;
        this.path = path;
        this.node = node;
    }

    JsonField at(String key) {
        return new JsonField(file, path.isEmpty() ? key : path + "." + key, node.path(key));
    }

    boolean has(String key) {
        return node.hasNonNull(key);
    }

    BundleException wrong(String expected) {
        String found = node.isMissingNode() ? "missing" : node.toString();
        if (found.length() > 120) {
            found = found.substring(0, 120) + "…";
        }
        return new BundleException(
                file + ": " + (path.isEmpty() ? "" : path + ": ") + found + " (expected: " + expected + ")");
    }

    JsonField object(String key) throws BundleException {
        JsonField field = at(key);
        if (!field.node.isObject()) {
            throw field.wrong("an object");
        }
        return field;
    }

    List<JsonField> list(String key) throws BundleException {
        return at(key).elements();
    }

    List<JsonField> elements() throws BundleException {
        if (!node.isArray() || node.isEmpty()) {
            throw wrong("a list with at least one element");
        }
        List<JsonField> result = new ArrayList<>();
        for (JsonNode element : node) {
            result.add(new JsonField(file, path + "[" + result.size() + "]", element));
        }
        return result;
    }

    List<String> keys() {
        List<String> result = new ArrayList<>();
        node.fieldNames().forEachRemaining(result::add);
        return result;
    }

    String text(String key) throws BundleException {
        JsonField field = at(key);
        if (!field.node.isTextual() || field.node.textValue().isBlank()) {
            throw field.wrong("a text");
        }
        return field.node.textValue();
    }

    String choice(String key, String... choices) throws BundleException {
        String value = at(key).node.asText();
        if (!List.of(choices).contains(value)) {
            throw at(key).wrong(String.join(" or ", choices));
        }
        return value;
    }

    /** An integer above 0. */
    int integer(String key) throws BundleException {
        return number(key, 1);
    }

    int number(String key, int least) throws BundleException {
        JsonField field = at(key);
        if (!field.node.isInt() || field.node.intValue() < least) {
            throw field.wrong("an integer >= " + least);
        }
        return field.node.intValue();
    }

    /** A number above 0, at most 1. */
    double fraction(String key) throws BundleException {
        JsonField field = at(key);
        if (!field.node.isNumber() || !(field.node.doubleValue() > 0) || field.node.doubleValue() > 1) {
            throw field.wrong("a number above 0, at most 1");
        }
        return field.node.doubleValue();
    }

    boolean flag(String key) throws BundleException {
        JsonField field = at(key);
        if (!field.node.isBoolean()) {
            throw field.wrong("true or false");
        }
        return field.node.booleanValue();
    }

    /** The file that the field names, one of those that the manifest lists. */
    BundleFile file(String key, Map<String, BundleFile> files) throws BundleException {
        BundleFile listed = files.get(text(key));
        if (listed == null) {
            throw at(key).wrong("a file that \"files\" lists with its SHA-256");
        }
        return listed;
    }
}
