package io.upliftstream.tools.camera;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A directory of images as a camera, by name. JPEG and PNG files go out byte for byte, even broken ones; other formats
 * are read with FFmpeg and go out as PNG. Files that are no images by their names, and subdirectories, are left out.
 */
public final class ImageDirectory implements Camera {
    private static final Set<String> WIRE = Set.of("jpg", "jpeg", "png");
    private static final Set<String> OTHER = Set.of("bmp", "gif", "pgm", "ppm", "tga", "tif", "tiff", "webp");

    /** From one picture to the next. */
    private static final int MILLIS = 200;

    private final String id;
    private final List<Path> files;
    private int next;

    /**
     * Lists the images of a directory, or takes one image file.
     *
     * @throws IOException if there is none
     */
    public ImageDirectory(String id, Path path) throws IOException {
        this.id = id;
        if (Files.isDirectory(path)) {
            try (Stream<Path> entries = Files.list(path)) {
                files = entries.filter(ImageDirectory::isImage).sorted().toList();
            }
        } else {
            files = List.of(path);
        }
        if (files.isEmpty()) {
            throw new IOException("input: %s holds no images (expected: files such as .jpg, .png, .bmp, .webp)"
                    .formatted(path.toAbsolutePath()));
        }
    }

    /** Whether a file is an image by its name. */
    public static boolean isImage(Path path) {
        return Files.isRegularFile(path) && (WIRE.contains(extension(path)) || OTHER.contains(extension(path)));
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
        return next == files.size() ? null : read(files.get(next), Duration.ofMillis((long) MILLIS * next++));
    }

    private static Shot read(Path file, Duration position) throws IOException {
        String name = file.getFileName().toString();
        String stem = name.substring(0, name.lastIndexOf('.'));
        return WIRE.contains(extension(file))
                ? new Shot(
                        stem, Files.readAllBytes(file), extension(file).equals("png") ? "png" : "jpeg", position, null)
                : new Shot(stem, Images.png(VideoCamera.still(file)), "png", position, null);
    }

    private static String extension(Path file) {
        String name = file.getFileName().toString();
        return name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
    }

    @Override
    public void close() {}
}
