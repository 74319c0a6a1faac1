package io.upliftstream.tools.camera;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a camera's pictures come from, in words: {@code [NAME=]SOURCE}, such as {@code gate=rtsp://10.0.0.7/stream}.
 *
 * @param id name of the camera
 * @param source a video file, a directory of images or an image, a URL, a device {@code /dev/videoN}, or
 *     {@code synthetic}, which may have a seed: {@code synthetic:20001}
 */
public record CameraSource(String id, String source) {
    private static final Pattern NAMED = Pattern.compile("([A-Za-z0-9._-]+)=(.+)");
    private static final Pattern SYNTHETIC = Pattern.compile("synthetic(?::(\\d{1,9}))?");
    private static final long SEED = 20_000;
    private static final int WIDTH = 640;
    private static final int HEIGHT = 360;
    private static final double FRAMES_PER_SECOND = 10;

    /** Reads the words; a source without a name is named after its file, host or device. */
    public static CameraSource parse(String words) {
        Matcher named = NAMED.matcher(words);
        return named.matches()
                ? new CameraSource(named.group(1), named.group(2))
                : new CameraSource(name(words), words);
    }

    private static String name(String source) {
        if (SYNTHETIC.matcher(source).matches()) {
            return source.replace("synthetic", "street").replace(':', '-');
        }
        if (VideoCamera.isUrl(source)) {
            return source.replaceFirst("^[a-z0-9+]+://(?:[^/@]*@)?([^/:?]*).*", "$1");
        }
        return name(Path.of(source));
    }

    /** The file's name without its extension, fit for the name of another. */
    public static String name(Path input) {
        Path file = input.toAbsolutePath().normalize().getFileName();
        String name = file == null ? "input" : file.toString();
        int dot = Files.isDirectory(input) ? -1 : name.lastIndexOf('.');
        return (dot > 0 ? name.substring(0, dot) : name).replaceAll("[^A-Za-z0-9._-]", "_");
    }

    /**
     * Opens it. JPEG and PNG files stay as they are, whatever the format says.
     *
     * @throws IOException if there is nothing that holds pictures
     */
    public Camera open(JpegFormat format) throws IOException {
        Matcher synthetic = SYNTHETIC.matcher(source);
        if (synthetic.matches()) {
            int width = format.width() > 0 ? format.width() : WIDTH;
            return new SyntheticCamera(
                    id,
                    synthetic.group(1) == null ? SEED : Long.parseLong(synthetic.group(1)),
                    width,
                    format.height() > 0 ? format.height() : width * HEIGHT / WIDTH,
                    FRAMES_PER_SECOND,
                    format.quality());
        }
        if (VideoCamera.isUrl(source)) {
            return new VideoCamera(id, source, format);
        }
        Path path = Path.of(source);
        if (!Files.exists(path)) {
            throw new IOException(
                    "input: " + path.toAbsolutePath() + " does not exist (expected: a video, a directory of images, a"
                            + " webcam such as /dev/video0, a URL such as rtsp://host/stream, or synthetic)");
        }
        return Files.isDirectory(path) || ImageDirectory.isImage(path)
                ? new ImageDirectory(id, path)
                : new VideoCamera(id, source, format);
    }
}
