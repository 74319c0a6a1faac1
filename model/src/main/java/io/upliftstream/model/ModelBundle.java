package io.upliftstream.model;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * A model on disk: a directory with {@code manifest.json}, TorchScript files for several devices and precisions, labels
 * and golden outputs. Loading one checks every field of the manifest and the SHA-256 of every file it lists.
 */
public final class ModelBundle {
    /** The manifest format this class reads. */
    public static final String FORMAT = "uplift-bundle/1";

    private static final String MANIFEST = "manifest.json";
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /** The network that turns pixels into patch features: {@code channels} numbers per square of {@code patch} pixels. */
    public record Backbone(String kind, int channels, int patch) {}

    /** The UPLiFT upsampler: {@code steps} doublings, each attending over {@code neighbours} patches. */
    public record Upsampler(int steps, int neighbours) {}

    /**
     * TorchScript for one device ({@code cpu} or {@code cuda}) and precision ({@code fp32}, {@code bf16}, {@code fp16}, or
     * {@code int8}, which is that of the upsampler's convolutions).
     */
    public record Variant(
            String name, String device, String precision, Path backbone, Path upsampler, Tolerance tolerance) {
        Variant withBackboneOf(Variant other) {
            String both = other.equals(this) ? name : name + "+" + other.name;
            return new Variant(both, device, precision, other.backbone, upsampler, tolerance);
        }
    }

    /** What must agree with the golden outputs: the share of equal labels, and the cosine of the other heads. */
    public record Tolerance(double labelAgreement, double cosine) {}

    /**
     * Frames with the outputs that the {@code cpu-fp32} variant gave in Python; raw little-endian files.
     *
     * @param outputs per head name
     */
    record Golden(Path frames, int count, Map<String, Path> outputs) {}

    private final Path directory;
    private final String sha256;
    private final String name;
    private final String version;
    private final String description;
    private final String license;
    private final InputSpec input;
    private final Backbone backbone;
    private final Upsampler upsampler;
    private final List<HeadSpec> heads;
    private final List<Variant> variants;
    private final List<Label> labels;
    private final Golden golden;

    /**
     * Reads and checks the bundle in {@code directory}.
     *
     * @throws BundleException if anything is missing, malformed or different from its hash; one sentence
     */
    public static ModelBundle load(Path directory) throws BundleException {
        return new ModelBundle(directory);
    }

    private ModelBundle(Path directory) throws BundleException {
        this.directory = directory;
        Path manifest = directory.resolve(MANIFEST);
        if (!Files.isDirectory(directory)) {
            throw fault("not a directory (expected: a directory with " + MANIFEST + ")");
        }
        if (!Files.isRegularFile(manifest)) {
            throw fault(MANIFEST + " is missing");
        }
        sha256 = sha256(manifest);
        Field root = new Field(MANIFEST, "", parse(manifest));
        root.choice("format", FORMAT);
        name = root.text("name");
        version = root.text("version");
        description = root.text("description");
        license = root.text("license");

        Field in = root.object("input");
        input = new InputSpec(
                in.integer("width"),
                in.integer("height"),
                Fit.valueOf(in.choice("fit", "stretch", "letterbox").toUpperCase(Locale.ROOT)),
                in.integer("maxBatch"));
        if (3.0 * input.width() * input.height() * input.maxBatch() > Integer.MAX_VALUE) {
            throw in.wrong("a largest batch of at most 2 GiB");
        }
        Field net = root.object("backbone");
        backbone = new Backbone(net.text("kind"), net.integer("channels"), net.integer("patch"));
        Field up = root.object("upsampler");
        upsampler = new Upsampler(up.integer("steps"), up.integer("neighbours"));

        Map<String, Path> files = checkedFiles(root);
        heads = heads(root);
        variants = variants(root, files);
        labels = labels(root, files);
        golden = golden(root, files);
    }

    public String name() {
        return name;
    }

    public String version() {
        return version;
    }

    public String description() {
        return description;
    }

    public String license() {
        return license;
    }

    /** The SHA-256 of manifest.json, lower-case hexadecimal; as the manifest lists every hash, it stands for the bundle. */
    public String sha256() {
        return sha256;
    }

    public InputSpec input() {
        return input;
    }

    public Backbone backbone() {
        return backbone;
    }

    public Upsampler upsampler() {
        return upsampler;
    }

    public List<HeadSpec> heads() {
        return heads;
    }

    /** The classes of the segmentation heads; empty if there is no such head. */
    public List<Label> labels() {
        return labels;
    }

    public List<Variant> variants() {
        return variants;
    }

    Golden golden() {
        return golden;
    }

    @Override
    public String toString() {
        return name + " " + version;
    }

    private List<HeadSpec> heads(Field root) throws BundleException {
        List<HeadSpec> result = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (Field head : root.list("heads")) {
            HeadKind kind = HeadKind.valueOf(head.choice("kind", "segmentation", "features", "regression")
                    .toUpperCase(Locale.ROOT));
            boolean segmentation = kind == HeadKind.SEGMENTATION;
            String dtype = segmentation ? head.choice("dtype", "uint8") : head.choice("dtype", "float16", "float32");
            HeadSpec spec = new HeadSpec(
                    head.text("name"),
                    kind,
                    head.integer("channels"),
                    head.integer("width"),
                    head.integer("height"),
                    head.integer("stride"),
                    DType.valueOf(dtype.toUpperCase(Locale.ROOT)),
                    head.has("unit") ? head.text("unit") : null,
                    segmentation && head.has("confidence") && head.flag("confidence"));
            if (!names.add(spec.name())) {
                throw head.at("name").wrong("a name no other head has");
            }
            if (segmentation && spec.channels() > 255) {
                throw head.at("channels").wrong("at most 255 classes");
            }
            if (spec.width() != input.width() / spec.stride()) {
                throw head.at("width").wrong(input.width() + " / stride = " + input.width() / spec.stride());
            }
            if (spec.height() != input.height() / spec.stride()) {
                throw head.at("height").wrong(input.height() + " / stride = " + input.height() / spec.stride());
            }
            if (4.0 * spec.width() * spec.height() * spec.channels() * input.maxBatch() > Integer.MAX_VALUE) {
                throw head.at("channels").wrong("a largest batch of at most 2 GiB");
            }
            result.add(spec);
        }
        return List.copyOf(result);
    }

    private List<Variant> variants(Field root, Map<String, Path> files) throws BundleException {
        List<Variant> result = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (Field variant : root.list("variants")) {
            String precision = variant.choice("precision", "fp32", "bf16", "fp16", "int8");
            Field tolerance = root.object("golden").object("tolerance").object(precision);
            Variant spec = new Variant(
                    variant.text("name"),
                    variant.choice("device", "cpu", "cuda"),
                    precision,
                    variant.file("backbone", files),
                    variant.file("upsampler", files),
                    new Tolerance(tolerance.fraction("labelAgreement"), tolerance.fraction("cosine")));
            if (!names.add(spec.name())) {
                throw variant.at("name").wrong("a name no other variant has");
            }
            result.add(spec);
        }
        return List.copyOf(result);
    }

    private List<Label> labels(Field root, Map<String, Path> files) throws BundleException {
        int classes = heads.stream()
                .filter(head -> head.kind() == HeadKind.SEGMENTATION)
                .mapToInt(HeadSpec::channels)
                .max()
                .orElse(0);
        if (classes == 0) {
            return List.of();
        }
        Path file = root.file("labels", files);
        List<Label> result = new ArrayList<>();
        for (Field label : new Field(root.text("labels"), "", parse(file)).elements()) {
            if (label.number("id", 0) != result.size()) {
                throw label.at("id").wrong("" + result.size());
            }
            String color = label.text("color");
            if (!color.matches("#[0-9a-fA-F]{6}")) {
                throw label.at("color").wrong("a colour such as #804080");
            }
            result.add(new Label(result.size(), label.text("name"), Integer.parseInt(color.substring(1), 16)));
        }
        if (result.size() != classes) {
            throw fault("%s has %d labels (expected: one per class, %d)"
                    .formatted(root.text("labels"), result.size(), classes));
        }
        return List.copyOf(result);
    }

    private Golden golden(Field root, Map<String, Path> files) throws BundleException {
        Field field = root.object("golden");
        int count = field.integer("count");
        Path frames = sized(field, "frames", files, (long) count * input.frameBytes());
        Map<String, Path> outputs = new HashMap<>();
        Field outputFiles = field.object("outputs");
        for (HeadSpec head : heads) {
            outputs.put(head.name(), sized(outputFiles, head.name(), files, (long) count * head.frameBytes()));
        }
        return new Golden(frames, count, Map.copyOf(outputs));
    }

    private Path sized(Field field, String key, Map<String, Path> files, long bytes) throws BundleException {
        Path file = field.file(key, files);
        try {
            long found = Files.size(file);
            if (found != bytes) {
                throw fault("%s has %d bytes (expected: %d)".formatted(field.text(key), found, bytes));
            }
            return file;
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    /** The files the manifest lists, by their names in it; all of them inside the bundle and with the right hash. */
    private Map<String, Path> checkedFiles(Field root) throws BundleException {
        Field listed = root.object("files");
        Map<String, Path> result = new LinkedHashMap<>();
        for (String file : listed.keys()) {
            String expected = listed.text(file);
            Path path = inside(file);
            if (!Files.isRegularFile(path)) {
                throw fault(file + " is missing, though " + MANIFEST + " lists it");
            }
            String found = sha256(path);
            if (!found.equals(expected)) {
                throw fault(file + ": SHA-256 is " + found + " (expected: " + expected + ")");
            }
            result.put(file, path);
        }
        return result;
    }

    /** Resolves a file name of the manifest; refuses one that leads out of the bundle, by its text or by a link. */
    private Path inside(String file) throws BundleException {
        try {
            Path path = directory.resolve(file).normalize();
            Path home = directory.normalize();
            boolean plain = !file.isEmpty() && !Path.of(file).isAbsolute() && !file.contains("\\");
            if (plain && path.startsWith(home) && !path.equals(home)) {
                if (!Files.exists(path) || path.toRealPath().startsWith(directory.toRealPath())) {
                    return path;
                }
            }
        } catch (InvalidPathException | IOException e) {
            throw new BundleException(
                    "bundle " + directory + ": " + MANIFEST + ": files: " + file + " (expected: a readable file)", e);
        }
        throw fault(MANIFEST + ": files: " + file + " (expected: a file inside the bundle)");
    }

    private JsonNode parse(Path file) throws BundleException {
        try {
            return JSON.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw new BundleException(
                    "bundle %s: %s is not JSON: %s, line %d (expected: well-formed JSON)"
                            .formatted(
                                    directory,
                                    file.getFileName(),
                                    e.getOriginalMessage(),
                                    e.getLocation() == null
                                            ? 0
                                            : e.getLocation().getLineNr()),
                    e);
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private String sha256(Path file) throws BundleException {
        try (InputStream in = new DigestInputStream(Files.newInputStream(file), MessageDigest.getInstance("SHA-256"))) {
            in.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of()
                    .formatHex(((DigestInputStream) in).getMessageDigest().digest());
        } catch (IOException e) {
            throw unreadable(file, e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    private BundleException unreadable(Path file, IOException e) {
        return new BundleException("bundle " + directory + ": " + file.getFileName() + " cannot be read: " + e, e);
    }

    private BundleException fault(String what) {
        return new BundleException("bundle " + directory + ": " + what);
    }

    /** A value in a JSON file of the bundle, which knows where it stands and so can say what is wrong with it. */
    private final class Field {
        private final String file;
        private final String path;
        private final JsonNode node;

        Field(String file, String path, JsonNode node) {
            this.file = file;
            this.path = path;
            this.node = node;
        }

        Field at(String key) {
            return new Field(file, path.isEmpty() ? key : path + "." + key, node.path(key));
        }

        boolean has(String key) {
            return node.hasNonNull(key);
        }

        BundleException wrong(String expected) {
            String found = node.isMissingNode() ? "missing" : node.toString();
            if (found.length() > 120) {
                found = found.substring(0, 120) + "…";
            }
            return fault(file + ": " + (path.isEmpty() ? "" : path + ": ") + found + " (expected: " + expected + ")");
        }

        Field object(String key) throws BundleException {
            Field field = at(key);
            if (!field.node.isObject()) {
                throw field.wrong("an object");
            }
            return field;
        }

        List<Field> list(String key) throws BundleException {
            return at(key).elements();
        }

        List<Field> elements() throws BundleException {
            if (!node.isArray() || node.isEmpty()) {
                throw wrong("a list with at least one element");
            }
            List<Field> result = new ArrayList<>();
            for (JsonNode element : node) {
                result.add(new Field(file, path + "[" + result.size() + "]", element));
            }
            return result;
        }

        List<String> keys() {
            List<String> result = new ArrayList<>();
            node.fieldNames().forEachRemaining(result::add);
            return result;
        }

        String text(String key) throws BundleException {
            Field field = at(key);
            if (field.node == null
                    || !field.node.isTextual()
                    || field.node.textValue().isBlank()) {
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

        int integer(String key) throws BundleException {
            return number(key, 1);
        }

        int number(String key, int least) throws BundleException {
            Field field = at(key);
            if (!field.node.isInt() || field.node.intValue() < least) {
                throw field.wrong("an integer >= " + least);
            }
            return field.node.intValue();
        }

        double fraction(String key) throws BundleException {
            Field field = at(key);
            if (field.node == null
                    || !field.node.isNumber()
                    || !(field.node.doubleValue() > 0)
                    || field.node.doubleValue() > 1) {
                throw field.wrong("a number above 0, at most 1");
            }
            return field.node.doubleValue();
        }

        boolean flag(String key) throws BundleException {
            Field field = at(key);
            if (!field.node.isBoolean()) {
                throw field.wrong("true or false");
            }
            return field.node.booleanValue();
        }

        Path file(String key, Map<String, Path> files) throws BundleException {
            Path listed = files.get(text(key));
            if (listed == null) {
                throw at(key).wrong("a file that \"files\" lists with its SHA-256");
            }
            return listed;
        }
    }
}
