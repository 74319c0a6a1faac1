package io.upliftstream.tools.picture;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.UUID;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avformat.AVIOContext;
import org.bytedeco.ffmpeg.avformat.AVStream;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.global.avformat;
import org.bytedeco.ffmpeg.global.avutil;

/** An MP4 of one stream, which has its name once it is {@link #finish finished}, in place of what had it. */
final class Mp4File implements AutoCloseable {
    private final Path file;
    private final Path fresh;
    private final AVFormatContext output = new AVFormatContext(null);
    private final AVStream stream;

    Mp4File(Path file) throws IOException {
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        this.file = file;
        fresh = file.resolveSibling("." + UUID.randomUUID() + ".part");
        Files.createFile(fresh);
        try {
            require(avformat.avformat_alloc_output_context2(output, null, "mp4", "file:" + fresh));
            stream = avformat.avformat_new_stream(output, null);
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    /** The stream, to be described before {@link #begin}. */
    AVStream stream() {
        return stream;
    }

    void begin() throws IOException {
        AVIOContext io = new AVIOContext(null);
        require(avformat.avio_open(io, output.url().getString(), avformat.AVIO_FLAG_WRITE));
        output.pb(io);
        AVDictionary options = new AVDictionary(null);
        avutil.av_dict_set(options, "movflags", "faststart", 0);
        int written = avformat.avformat_write_header(output, options);
        avutil.av_dict_free(options);
        require(written);
    }

    /** Writes a packet, whose times are in the stream's units, and takes its bytes. */
    void write(AVPacket packet) throws IOException {
        packet.stream_index(stream.index());
        require(avformat.av_interleaved_write_frame(output, packet));
    }

    /** Ends the file; without this it does not play. */
    void finish() throws IOException {
        require(avformat.av_write_trailer(output));
        free();
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
    }

    void require(int result) throws IOException {
        try {
            VideoEncoder.require(result);
        } catch (IOException e) {
            throw new IOException("output: %s cannot be written: %s".formatted(file, e.getMessage()), e);
        }
    }

    private void free() {
        if (!output.isNull()) {
            if (output.pb() != null) {
                avformat.avio_close(output.pb());
            }
            avformat.avformat_free_context(output);
            output.setNull();
        }
    }

    @Override
    public void close() throws IOException {
        free();
        Files.deleteIfExists(fresh);
    }
}
