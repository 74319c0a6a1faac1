package io.upliftstream.tools.camera;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Where a camera's pictures come from, in words: {@code [NAME=]SOURCE}, such as {@code gate=rtsp://10.0.0.7/stream}.
 *
 * @param id name of the camera
 * @param source a video file, a directory of images or an image, a URL, a device {@code /dev/videoN}, or
 *     {@code synthetic}, which may have a seed: {@code synthetic:20001}
 */
public record CameraSource(String id, String source) {
    private static final Pattern SYNTHETIC = Pattern.compile("synthetic(?::(\\d{1,9}))?");
    private static final long SEED = 20_000;
    private static final int WIDTH = 640;
    private static final int HEIGHT = 360;
    private static final double FRAMES_PER_SECOND = 10;

    /**
     * Reads the words: what exists as a path is one, whatever it is called; else the first {@code =} before something that
     * exists, or the first of all, ends a name. A source without a name is named after its file, host or device.
     */
    public static CameraSource parse(String words) {
        if (existing(words) == null && !Demuxer.isUrl(words)) {
            int first = words.indexOf('=');
            int end = first;
            while (end > 0 && !isSource(words.substring(end + 1))) {
                end = words.indexOf('=', end + 1);
            }
            end = end > 0 ? end : first;
            if (end > 0 && end < words.length() - 1) {
                return new CameraSource(words.substring(0, end), words.substring(end + 1));
            }
        }
        return new CameraSource(name(words), words);
    }

    private static boolean isSource(String words) {
        return existing(words) != null
                || Demuxer.isUrl(words)
                || SYNTHETIC.matcher(words).matches();
    }

    /** The file, directory or device that has this name; null if there is none. */
    static @Nullable Path existing(String source) {
        try {
            Path path = Path.of(source);
            return !source.isEmpty() && Files.exists(path) ? path : null;
        } catch (InvalidPathException e) {
            return null;
        }
    }

    private static String name(String source) {
        Path path = existing(source);
        if (path != null) {
            return name(path);
        }
        if (SYNTHETIC.matcher(source).matches()) {
            return source.replace("synthetic", "street").replace(':', '-');
        }
        if (Demuxer.isUrl(source)) {
            return source.replaceFirst("^[a-z0-9+]+://(?:[^/?#]*@)?([^/:?]*).*", "$1");
        }
        return name(Path.of(source));
    }

    /** The file's name without its extension, as it stands: whoever makes a file name of it takes {@code FileNames}. */
    public static String name(Path input) {
        Path file = input.toAbsolutePath().normalize().getFileName();
        String name = file == null ? "input" : file.toString();
        int dot = Files.isDirectory(input) ? -1 : name.lastIndexOf('.');
        return dot > 0 ? name.substring(0, dot) : name;
    }

    /**
     * Opens it. JPEG and PNG files stay as they are, whatever the format says.
     *
     * @throws IOException if there is nothing that holds pictures, or packets where these are asked for
     */
    public Camera open(JpegFormat format, Video video) throws IOException {
        return switch (video) {
            case NONE -> open(format);
            case PACKETS -> packets();
            case PACKETS_OR_ENCODED -> hasPackets() ? packets() : new EncodingCamera(open(format));
            case ENCODED -> new EncodingCamera(open(format));
        };
    }

    private Camera packets() throws IOException {
        Path path = existing(source);
        if (SYNTHETIC.matcher(source).matches()
                || (path != null && (Files.isDirectory(path) || ImageDirectory.isImage(path)))) {
            throw new IOException(
                    "input: %s has pictures, not packets (expected with --packets: a video; --encode h264 makes"
                                    .formatted(source)
                            + " one of pictures)");
        }
        return new PacketCamera(id, source);
    }

    private boolean hasPackets() {
        try (Camera camera = packets()) {
            return camera.framesPerSecond() > 0;
        } catch (IOException e) {
            return false;
        }
    }

    /** Opens it as a camera of images. */
    public Camera open(JpegFormat format) throws IOException {
        Path path = existing(source);
        if (path != null) {
            return Files.isDirectory(path) || ImageDirectory.isImage(path)
                    ? new ImageDirectory(id, path)
                    : new VideoCamera(id, source, format);
        }
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
        if (Demuxer.isUrl(source)) {
            return new VideoCamera(id, source, format);
        }
        throw new IOException("input: " + Path.of(source).toAbsolutePath()
                + " does not exist (expected: a video, a directory of images, a"
                + " webcam such as /dev/video0, a URL such as rtsp://host/stream, or synthetic)");
    }
}
