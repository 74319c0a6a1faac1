package io.upliftstream.tools.demo;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.ImageDirectory;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.camera.VideoCamera;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The cameras of a demo, closed together. */
record Cameras(List<Camera> list) implements AutoCloseable {

    /**
     * Opens them.
     *
     * @throws StartupException if the input is missing or nothing that holds pictures
     */
    static Cameras open(DemoOptions options) throws IOException {
        Cameras cameras = new Cameras(new ArrayList<>());
        try {
            for (int i = 0; i < options.cameras(); i++) {
                cameras.list.add(open(options, i));
            }
        } catch (IOException e) {
            cameras.close();
            throw new StartupException(StartupException.CONFIGURATION, String.valueOf(e.getMessage()), e);
        }
        return cameras;
    }

    private static Camera open(DemoOptions options, int number) throws IOException {
        Path input = options.input();
        if (input == null) {
            return new SyntheticCamera(
                    "street-" + number,
                    options.seed() + number,
                    options.width(),
                    options.height(),
                    options.framesPerSecond(),
                    DemoOptions.QUALITY);
        }
        if (!Files.exists(input)) {
            throw new IOException("input: " + input + " does not exist (expected: a video, or a directory of images)");
        }
        String id = name(input) + (options.cameras() == 1 ? "" : "-" + number);
        return Files.isDirectory(input) || ImageDirectory.isImage(input)
                ? new ImageDirectory(id, input)
                : new VideoCamera(id, input, DemoOptions.QUALITY);
    }

    /** The file's name without its extension, fit for the name of another. */
    private static String name(Path input) {
        Path file = input.toAbsolutePath().normalize().getFileName();
        String name = file == null ? "input" : file.toString();
        int dot = Files.isDirectory(input) ? -1 : name.lastIndexOf('.');
        return (dot > 0 ? name.substring(0, dot) : name).replaceAll("[^A-Za-z0-9._-]", "_");
    }

    @Override
    public void close() throws IOException {
        for (Camera camera : list) {
            camera.close();
        }
    }
}
