package io.upliftstream.tools.camera;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A directory of images as a camera, by name. What is JPEG or PNG by its first bytes goes out byte for byte, and so does a
 * broken file that is named so; other formats are read with FFmpeg and go out as PNG, upright. Files that are no images
 * by their names, hidden ones, and subdirectories are left out, and named in a note.
 */
public final class ImageDirectory implements Camera {
    private static final Set<String> WIRE = Set.of("jfif", "jpe", "jpeg", "jpg", "mpo", "png");
    private static final Set<String> OTHER = Set.of(
            "avif", "bmp", "gif", "heic", "heif", "j2k", "jls", "jp2", "jxl", "pam", "pbm", "pgm", "pnm", "ppm", "tga",
            "tif", "tiff", "webp");

    private static final byte[] JPEG = {(byte) 0xff, (byte) 0xd8, (byte) 0xff};
    private static final byte[] PNG = {(byte) 0x89, 'P', 'N', 'G'};
    private static final byte[] TIFF_LITTLE = {'I', 'I', 42, 0};
    private static final byte[] TIFF_BIG = {'M', 'M', 0, 42};

    /** From one picture to the next. */
    private static final int MILLIS = 200;

    private static final int MAX_NAMED = 5;

    private final String id;
    private final List<Path> files;
    private final Map<Path, String> names;
    private final List<String> notes = new ArrayList<>();
    private int next;

    /**
     * Lists the images of a directory, or takes one image file.
     *
     * @throws IOException if there is none
     */
    public ImageDirectory(String id, Path path) throws IOException {
        this.id = id;
        if (Files.isDirectory(path)) {
            List<Path> entries;
            try (Stream<Path> found = Files.list(path)) {
                entries = found.sorted().toList();
            }
            files = entries.stream().filter(ImageDirectory::isListed).toList();
            if (files.size() < entries.size()) {
                notes.add(leftOut(path, entries));
            }
        } else {
            files = List.of(path);
        }
        if (files.isEmpty()) {
            throw new IOException("input: %s holds no images (expected: files such as .jpg, .png, .bmp, .webp)%s"
                    .formatted(path.toAbsolutePath(), notes.isEmpty() ? "" : "; " + notes.get(0)));
        }
        names = names(files);
    }

    /** Whether a file is an image by its name. */
    public static boolean isImage(Path path) {
        return Files.isRegularFile(path) && (WIRE.contains(extension(path)) || OTHER.contains(extension(path)));
    }

    private static boolean isListed(Path path) {
        return isImage(path) && !fileName(path).startsWith(".");
    }

    private static String leftOut(Path directory, List<Path> entries) {
        List<String> left = entries.stream()
                .filter(entry -> !isListed(entry))
                .map(ImageDirectory::fileName)
                .toList();
        return "%s: %d left out that %s no images by name, or hidden: %s%s"
                .formatted(
                        directory,
                        left.size(),
                        left.size() == 1 ? "is" : "are",
                        String.join(", ", left.subList(0, Math.min(MAX_NAMED, left.size()))),
                        left.size() > MAX_NAMED ? ", …" : "");
    }

    /**
     * Each file's name without its extension; with it where two would be the same, and with a number where they still are,
     * on a file system without upper case.
     */
    private static Map<Path, String> names(List<Path> files) {
        Map<String, Integer> uses = new HashMap<>();
        for (Path file : files) {
            uses.merge(stem(file).toLowerCase(Locale.ROOT), 1, Integer::sum);
            uses.merge(fileName(file).toLowerCase(Locale.ROOT), 1, Integer::sum);
        }
        Map<Path, String> names = new HashMap<>();
        Map<String, Integer> taken = new HashMap<>();
        for (Path file : files) {
            boolean alone = Integer.valueOf(1).equals(uses.get(stem(file).toLowerCase(Locale.ROOT)));
            String name = alone ? stem(file) : fileName(file);
            int number = taken.merge(name.toLowerCase(Locale.ROOT), 1, Integer::sum);
            names.put(file, number == 1 ? name : name + "~" + number);
        }
        return names;
    }

    @Override
    public String id() {
        return id;
    }

    @Override
    public double framesPerSecond() {
        return 1000.0 / MILLIS;
    }

    @Override
    public @Nullable Shot next() throws IOException {
        if (next == files.size()) {
            return null;
        }
        Path file = files.get(next);
        Duration position = Duration.ofMillis((long) MILLIS * next++);
        try {
            return read(file, position);
        } catch (IOException e) {
            throw new UnreadableShotException(
                    "%s cannot be read: %s (expected: a whole picture of a format that FFmpeg knows)"
                            .formatted(file, e.getMessage()),
                    e);
        }
    }

    private Shot read(Path file, Duration position) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        String name = names.getOrDefault(file, stem(file));
        boolean png = startsWith(bytes, PNG);
        if (png || startsWith(bytes, JPEG) || WIRE.contains(extension(file))) {
            return new Shot(name, bytes, png || extension(file).equals("png") ? "png" : "jpeg", position, null);
        }
        boolean tiff = startsWith(bytes, TIFF_LITTLE) || startsWith(bytes, TIFF_BIG);
        return new Shot(name, Images.png(VideoCamera.still(file, tiff ? bytes : null)), "png", position, null);
    }

    private static boolean startsWith(byte[] bytes, byte[] signature) {
        return bytes.length >= signature.length
                && Arrays.equals(bytes, 0, signature.length, signature, 0, signature.length);
    }

    private static String fileName(Path file) {
        return String.valueOf(file.getFileName());
    }

    private static String stem(Path file) {
        String name = fileName(file);
        int dot = name.lastIndexOf('.');
        return dot > 0 ? name.substring(0, dot) : name;
    }

    private static String extension(Path file) {
        String name = fileName(file);
        return name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
    }

    @Override
    public List<String> notes() {
        List<String> taken = List.copyOf(notes);
        notes.clear();
        return taken;
    }

    @Override
    public void close() {}
}
