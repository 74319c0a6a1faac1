package io.upliftstream.tools.picture;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.global.avcodec;

/** An MP4 file of pictures, each shown at its own time, as {@link VideoEncoder} has them. */
public final class VideoFile implements VideoOutput {
    /** Where nothing says yet how long a picture is shown. */
    private static final int FIRST_FRAMES_PER_SECOND = 10;

    private final Timeline timeline = Timeline.ofRecords();
    private final Mp4File output;
    private final VideoEncoder encoder;
    private long lastTick = -1;
    private long shownTicks;

    /**
     * Begins a file, which has its name once it is closed, in place of what had it; an odd last row or column is left out, as H.264 wants it.
     *
     * @throws IOException if it cannot be written
     */
    public VideoFile(Path file, int width, int height) throws IOException {
        encoder = new VideoEncoder(width, height, true);
        try {
            output = begin(file, encoder);
        } catch (IOException | RuntimeException e) {
            encoder.close();
            throw e;
        }
    }

    private static Mp4File begin(Path file, VideoEncoder encoder) throws IOException {
        Mp4File begun = new Mp4File(file);
        try {
            begun.require(avcodec.avcodec_parameters_from_context(begun.stream().codecpar(), encoder.context()));
            begun.stream().time_base(encoder.context().time_base());
            begun.begin();
            return begun;
        } catch (IOException | RuntimeException e) {
            begun.close();
            throw e;
        }
    }

    /**
     * Adds a picture: one of another size than the first is scaled into that, with its proportions.
     *
     * @param micros when it was taken, by any clock; times that do not go on are continued, as {@link Timeline} has it
     */
    public void add(BufferedImage picture, long micros) throws IOException {
        long tick = Math.max(lastTick + 1, Math.round(timeline.next(micros) * (double) encoder.ticks() / 1e6));
        shownTicks = lastTick < 0 ? encoder.ticks() / FIRST_FRAMES_PER_SECOND : tick - lastTick;
        lastTick = tick;
        encoder.add(picture, tick, this::write);
    }

    private void write(AVPacket packet) throws IOException {
        packet.duration(shownTicks); // counts for the last one, which has none after it
        avcodec.av_packet_rescale_ts(
                packet, encoder.context().time_base(), output.stream().time_base());
        output.write(packet);
    }

    /** How many pictures had a time that does not go on. */
    @Override
    public long continued() {
        return timeline.continued();
    }

    @Override
    public void close() throws IOException {
        try (encoder;
                output) {
            encoder.end(this::write);
            output.finish();
        }
    }
}
