package io.upliftstream.tools.camera;

import io.upliftstream.tools.picture.VideoEncoder;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A camera of images whose pictures are encoded as H.264, without B-frames; another size begins another stream. */
final class EncodingCamera implements Camera {
    private final Camera camera;
    private @Nullable VideoEncoder encoder;
    private long next;

    EncodingCamera(Camera camera) {
        this.camera = camera;
    }

    @Override
    public String id() {
        return camera.id();
    }

    @Override
    public double framesPerSecond() {
        return camera.framesPerSecond();
    }

    @Override
    public boolean packets() {
        return true;
    }

    @Override
    public boolean live() {
        return camera.live();
    }

    @Override
    public @Nullable Shot next() throws IOException {
        Shot shot = camera.next();
        if (shot == null) {
            return null;
        }
        try {
            VideoEncoder.Encoded encoded = encode(Images.decode(shot.image()));
            return new Shot(shot.name(), encoded.data(), "h264", shot.position(), encoded.key(), shot.labels());
        } catch (IOException e) {
            throw new UnreadableShotException("%s cannot be encoded: %s".formatted(shot.name(), e.getMessage()), e);
        }
    }

    private VideoEncoder.Encoded encode(BufferedImage picture) throws IOException {
        VideoEncoder open = encoder;
        if (open == null || !open.fits(picture)) {
            if (open != null) {
                open.close();
                encoder = null;
            }
            if (!VideoEncoder.encodes(picture.getWidth(), picture.getHeight())) {
                throw new IOException(
                        "%d x %d (expected: a size that H.264 has)".formatted(picture.getWidth(), picture.getHeight()));
            }
            open = new VideoEncoder(picture.getWidth(), picture.getHeight(), false);
            if (!open.h264()) {
                open.close();
                throw new IOException("this FFmpeg has no OpenH264 (expected: the bundled one)");
            }
            encoder = open;
        }
        return open.encode(picture, next++);
    }

    @Override
    public List<String> notes() {
        return camera.notes();
    }

    @Override
    public void close() throws IOException {
        if (encoder != null) {
            encoder.close();
        }
        camera.close();
    }
}
