package io.upliftstream.tools.demo;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.camera.Video;
import java.io.IOException;
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
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
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
        String id = CameraSource.name(input) + (options.cameras() == 1 ? "" : "-" + number);
        return new CameraSource(id, input.toString())
                .open(JpegFormat.of(DemoOptions.QUALITY), options.packets() ? Video.PACKETS : Video.NONE);
    }

    @Override
    public void close() throws IOException {
        for (Camera camera : list) {
            camera.close();
        }
    }
}
