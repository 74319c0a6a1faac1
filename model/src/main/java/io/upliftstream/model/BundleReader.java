package io.upliftstream.model;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.model.ModelBundle.Backbone;
import io.upliftstream.model.ModelBundle.Golden;
import io.upliftstream.model.ModelBundle.Tolerance;
import io.upliftstream.model.ModelBundle.Upsampler;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Reads a bundle's manifest, checks every field of it, and checks every file that it lists. */
final class BundleReader {
    private static final String MANIFEST = "manifest.json";
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /** Bytes of a JSON file; the largest that are known have a few thousand. */
    private static final int MAX_JSON = 1 << 20;

    private final Path directory;

    BundleReader(Path directory) {
        this.directory = directory.toAbsolutePath();
    }

    ModelBundle read() throws BundleException {
        Path manifest = directory.resolve(MANIFEST);
        if (!Files.isDirectory(directory)) {
            throw fault("not a directory (expected: a directory with " + MANIFEST + ")");
        }
        if (!Files.isRegularFile(manifest)) {
            throw fault(MANIFEST + " is missing");
        }
        byte[] json = manifestBytes(manifest);
        String sha256 = HexFormat.of().formatHex(BundleFile.digest().digest(json));
        JsonField root = parse(json, MANIFEST);
        root.choice("format", ModelBundle.FORMAT);
        String name = root.text("name");
        String version = root.text("version");
        String description = root.text("description");
        String license = root.text("license");
        InputSpec input = input(root.object("input"));
        JsonField net = root.object("backbone");
        Backbone backbone = new Backbone(net.text("kind"), net.integer("channels"), net.integer("patch"));
        Upsampler upsampler = upsampler(root.object("upsampler"));
        Map<String, BundleFile> files = checkedFiles(root);
        List<HeadSpec> heads = heads(root, input);
        return new ModelBundle(
                sha256,
                name,
                version,
                description,
                license,
                input,
                backbone,
                upsampler,
                heads,
                variants(root, files),
                labels(root, files, heads),
                golden(root, files, input, heads));
    }

    private static InputSpec input(JsonField in) throws BundleException {
        InputSpec input = new InputSpec(
                in.integer("width"),
                in.integer("height"),
                Fit.valueOf(in.choice("fit", "stretch", "letterbox").toUpperCase(Locale.ROOT)),
                in.integer("maxBatch"));
        if (3.0 * input.width() * input.height() * input.maxBatch() > Integer.MAX_VALUE) {
            throw in.wrong("a largest batch of at most 2 GiB");
        }
        return input;
    }

    private static List<HeadSpec> heads(JsonField root, InputSpec input) throws BundleException {
        List<HeadSpec> result = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (JsonField head : root.list("heads")) {
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
            if (input.width() % spec.stride() != 0 || input.height() % spec.stride() != 0) {
                throw head.at("stride").wrong("a divisor of %d and %d".formatted(input.width(), input.height()));
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

    private static @Nullable BundleFile operators(JsonField variant, Map<String, BundleFile> files)
            throws BundleException {
        if (!variant.has("operators")) {
            return null;
        }
        JsonField operators = variant.object("operators");
        operators.choice("library", OperatorLibrary.NAME);
        return operators.file("upsampler", files);
    }

    private static List<Variant> variants(JsonField root, Map<String, BundleFile> files) throws BundleException {
        List<Variant> result = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (JsonField variant : root.list("variants")) {
            String precision = variant.choice("precision", "fp32", "bf16", "fp16", "int8");
            JsonField tolerance = root.object("golden").object("tolerance").object(precision);
            Variant spec = new Variant(
                    variant.text("name"),
                    variant.choice("device", "cpu", "cuda"),
                    precision,
                    variant.file("backbone", files),
                    variant.file("upsampler", files),
                    operators(variant, files),
                    new Tolerance(tolerance.fraction("labelAgreement"), tolerance.fraction("cosine")));
            if (!names.add(spec.name())) {
                throw variant.at("name").wrong("a name no other variant has");
            }
            result.add(spec);
        }
        return List.copyOf(result);
    }

    private static Upsampler upsampler(JsonField field) throws BundleException {
        String kind = field.has("kind") ? field.text("kind") : Upsampler.UPLIFT;
        return kind.equals(Upsampler.UPLIFT)
                ? new Upsampler(kind, field.integer("steps"), field.integer("neighbours"))
                : new Upsampler(kind, 0, 0);
    }

    private List<Label> labels(JsonField root, Map<String, BundleFile> files, List<HeadSpec> heads)
            throws BundleException {
        int classes = heads.stream()
                .filter(head -> head.kind() == HeadKind.SEGMENTATION)
                .mapToInt(HeadSpec::channels)
                .max()
                .orElse(0);
        if (classes == 0) {
            return List.of();
        }
        String name = root.text("labels");
        BundleFile file = root.file("labels", files);
        if (file.size() > MAX_JSON) {
            throw fault("%s has %d bytes (expected: at most %d)".formatted(name, file.size(), MAX_JSON));
        }
        byte[] json;
        try {
            json = file.read();
        } catch (IOException e) {
            throw unreadable(name, e);
        }
        List<Label> result = new ArrayList<>();
        for (JsonField label : parse(json, name).elements()) {
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
            throw fault("%s has %d labels (expected: one per class, %d)".formatted(name, result.size(), classes));
        }
        return List.copyOf(result);
    }

    private Golden golden(JsonField root, Map<String, BundleFile> files, InputSpec input, List<HeadSpec> heads)
            throws BundleException {
        JsonField field = root.object("golden");
        int count = field.integer("count");
        BundleFile frames = sized(field, "frames", files, (long) count * input.frameBytes());
        Map<String, BundleFile> outputs = new HashMap<>();
        JsonField outputFiles = field.object("outputs");
        for (HeadSpec head : heads) {
            outputs.put(head.name(), sized(outputFiles, head.name(), files, (long) count * head.frameBytes()));
        }
        return new Golden(frames, count, Map.copyOf(outputs));
    }

    private BundleFile sized(JsonField field, String key, Map<String, BundleFile> files, long bytes)
            throws BundleException {
        BundleFile file = field.file(key, files);
        if (file.size() != bytes) {
            throw fault("%s has %d bytes (expected: %d)".formatted(field.text(key), file.size(), bytes));
        }
        return file;
    }

    /** The files the manifest lists, by their names in it; all of them inside the bundle and with the right hash. */
    private Map<String, BundleFile> checkedFiles(JsonField root) throws BundleException {
        JsonField listed = root.object("files");
        Map<String, BundleFile> result = new LinkedHashMap<>();
        for (String file : listed.keys()) {
            String expected = listed.text(file);
            Path path = inside(file);
            if (!Files.isRegularFile(path)) {
                throw fault(file + " is missing, though " + MANIFEST + " lists it");
            }
            BundleFile found;
            try {
                found = BundleFile.of(path);
            } catch (IOException e) {
                throw unreadable(file, e);
            }
            if (!found.sha256().equals(expected)) {
                throw fault(file + ": SHA-256 is " + found.sha256() + " (expected: " + expected + ")");
            }
            result.put(file, found);
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

    private byte[] manifestBytes(Path manifest) throws BundleException {
        try (InputStream in = Files.newInputStream(manifest)) {
            byte[] bytes = in.readNBytes(MAX_JSON + 1);
            if (bytes.length > MAX_JSON) {
                throw fault("%s has more than %d bytes (expected: at most)".formatted(MANIFEST, MAX_JSON));
            }
            return bytes;
        } catch (IOException e) {
            throw unreadable(MANIFEST, e);
        }
    }

    private JsonField parse(byte[] json, String name) throws BundleException {
        try {
            return new JsonField("bundle " + directory + ": " + name, JSON.readTree(json));
        } catch (JsonProcessingException e) {
            throw new BundleException(
                    "bundle %s: %s is not JSON: %s, line %d (expected: well-formed JSON)"
                            .formatted(
                                    directory,
                                    name,
                                    e.getOriginalMessage(),
                                    e.getLocation() == null
                                            ? 0
                                            : e.getLocation().getLineNr()),
                    e);
        } catch (IOException e) {
            throw unreadable(name, e);
        }
    }

    private BundleException unreadable(String name, IOException e) {
        return new BundleException("bundle " + directory + ": " + name + " cannot be read: " + e, e);
    }

    private BundleException fault(String what) {
        return new BundleException("bundle " + directory + ": " + what);
    }
}
