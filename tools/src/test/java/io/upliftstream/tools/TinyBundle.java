package io.upliftstream.tools;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import javax.imageio.ImageIO;

/**
 * The bundle of the tests, of some kilobytes, and copies of it. What its upsampler does depends on a frame's first byte: 250
 * crashes, 251 is answered with infinity, 252 hangs, 253 throws, 254 takes too much memory in a batch.
 */
public final class TinyBundle {
    public static final Path PATH = Path.of("..", "model", "src", "test", "resources", "tiny")
            .toAbsolutePath()
            .normalize();

    private TinyBundle() {}

    /** A copy under this version, in a directory of this name. */
    public static Path copy(Path directory, String version) throws IOException {
        Path copy = directory.resolve(version);
        if (!Files.exists(copy)) {
            try (Stream<Path> files = Files.walk(PATH)) {
                for (Path file : files.toList()) {
                    Files.copy(file, copy.resolve(PATH.relativize(file).toString()));
                }
            }
            edit(copy, "manifest.json", manifest -> manifest.replace("1.0.0", version));
        }
        return copy;
    }

    /** Changes a file of a copy, whose bytes are characters here, and its hash in the manifest. */
    public static void edit(Path bundle, String name, UnaryOperator<String> edit) throws IOException {
        Path file = bundle.resolve(name);
        Path manifest = bundle.resolve("manifest.json");
        String before = sha256(file);
        Files.writeString(
                file, edit.apply(Files.readString(file, StandardCharsets.ISO_8859_1)), StandardCharsets.ISO_8859_1);
        Files.writeString(manifest, Files.readString(manifest).replace(before, sha256(file)));
    }

    private static String sha256(Path file) throws IOException {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** A PNG of the model's own size, so that its first byte reaches the model as it is. */
    public static byte[] image(int firstByte) throws IOException {
        BufferedImage image = new BufferedImage(16, 8, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, firstByte << 16);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        return png.toByteArray();
    }
}
