package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Objects;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Packets as frames; docs/packets.md has what headers and bytes say. */
class PacketParserTest {
    private static final FrameParser PARSER = new FrameParser(InputFormat.AUTO, 10_000);

    /** A slice that refers to others, of H.264; such a packet comes between key frames. */
    private static final String P_SLICE = "00000001419A2204";

    private static final String IDR = "000001658884";

    /** A record with the offset 42 and headers, each a name and its text. */
    private static RawFrame record(String hex, String... headers) {
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                "camera-frames",
                3,
                42,
                TestFrames.RECORDED,
                TimestampType.CREATE_TIME,
                4,
                hex.length() / 2,
                "gate".getBytes(StandardCharsets.UTF_8),
                HexFormat.of().parseHex(hex),
                new RecordHeaders(),
                Optional.empty());
        for (int i = 0; i < headers.length; i += 2) {
            record.headers().add(headers[i], headers[i + 1].getBytes(StandardCharsets.US_ASCII));
        }
        return RawFrame.of(record);
    }

    private static Frame.Packet described(Frame frame) {
        return Objects.requireNonNull(frame.packet());
    }

    private static FrameProblem problem(FrameParser parser, RawFrame record) {
        return catchThrowableOfType(FrameProblem.class, () -> parser.parse(record));
    }

    @ParameterizedTest
    @EnumSource(Codec.class)
    void fourHeadersSayWhatABarePacketIs(Codec codec) throws FrameProblem {
        Frame frame = PARSER.parse(record(
                P_SLICE,
                "video-codec",
                switch (codec) {
                    case H264 -> "h264";
                    case H265 -> "h265";
                    case AV1 -> "av1";
                },
                "video-key-frame",
                "1",
                "video-capture-time-micros",
                "1700000000123456",
                "video-sequence",
                "7"));
        assertThat(frame.cameraId()).isEqualTo("gate");
        assertThat(frame.sequence()).isEqualTo(7);
        assertThat(frame.captureTimeMicros()).isEqualTo(1_700_000_000_123_456L);
        assertThat(frame.captureClock()).isEqualTo(CaptureClock.CAMERA);
        assertThat(frame.image()).isEqualTo(HexFormat.of().parseHex(P_SLICE));
        assertThat(described(frame).codec()).isEqualTo(codec);
        assertThat(described(frame).key()).isTrue();
        assertThat(described(frame).counted()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "SPS, 0000000167640020, H264",
        "access unit delimiter, 0000000109F00000000141, H264",
        "IDR picture, 000001658884, H264",
        "slice between key frames, 00000001419A2204, H264",
        "VPS, 0000000140010C01, H265",
        "access unit delimiter, 0000000146011000, H265",
        "IDR picture, 000000012801AF08, H265",
    })
    void withoutHeadersAPacketIsToldByItsBeginning(String what, String hex, Codec codec) throws FrameProblem {
        Frame frame = PARSER.parse(record(hex));
        assertThat(described(frame).codec()).isEqualTo(codec);
        assertThat(described(frame).counted()).isFalse();
        assertThat(described(frame).key()).isEqualTo(what.equals("IDR picture"));
        assertThat(frame.cameraId()).isEqualTo("gate");
        assertThat(frame.sequence()).isEqualTo(42);
        assertThat(frame.captureTimeMicros()).isEqualTo(TestFrames.RECORDED * 1000);
        assertThat(frame.captureClock()).isEqualTo(CaptureClock.KAFKA);
    }

    @ParameterizedTest
    @CsvSource({
        "slice of H.265 between key frames, 000000010201D009",
        "filler, 000000010CFFFF80",
        "AV1, 12000A0B00000004"
    })
    void withoutHeadersNothingElseIsVideo(String what, String hex) {
        assertThat(problem(PARSER, record(hex)).reason()).as(what).isEqualTo("NOT_A_FRAME");
    }

    @Test
    void anUnknownCodecIsNoFrame() {
        FrameProblem problem = problem(PARSER, record(IDR, "video-codec", "vp9"));
        assertThat(problem.reason()).isEqualTo("NOT_A_FRAME");
        assertThat(problem).hasMessage("header video-codec: vp9 (expected: h264, h265 or av1)");

        problem = problem(PARSER, TestFrames.raw(1, "gate", SingleObject.encode(packet(false, VideoCodec.UNKNOWN))));
        assertThat(problem.reason()).isEqualTo("NOT_A_FRAME");
        assertThat(problem).hasMessageStartingWith("codec: ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"video-sequence", "video-capture-time-micros"})
    void aHeaderThatIsNoNumberIsMalformed(String header) {
        FrameProblem problem = problem(PARSER, record(IDR, "video-codec", "h264", header, "seven"));
        assertThat(problem.reason()).isEqualTo("MALFORMED_RECORD");
        assertThat(problem).hasMessage("header " + header + ": seven (expected: a decimal number)");
    }

    @Test
    void anEmptyHeaderIsNone() throws FrameProblem {
        Frame frame = PARSER.parse(record(IDR, "video-codec", "h264", "video-sequence", ""));
        assertThat(frame.sequence()).isEqualTo(42);
        assertThat(described(frame).counted()).isFalse();
    }

    @Test
    void aHeaderOfTwoLinesIsQuotedInOne() {
        assertThat(problem(PARSER, record(IDR, "video-codec", "vp9\r\n")))
                .hasMessage("header video-codec: vp9   (expected: h264, h265 or av1)");
    }

    @Test
    void whereAllIsVideoNothingElseIs() throws FrameProblem {
        FrameParser video = new FrameParser(InputFormat.VIDEO, 10_000);
        assertThat(described(video.parse(record(IDR))).codec()).isEqualTo(Codec.H264);
        assertThat(described(video.parse(record("12000A0B00000004", "video-codec", "av1")))
                        .codec())
                .isEqualTo(Codec.AV1);
        FrameProblem problem = problem(video, TestFrames.raw(1, "gate", TestFrames.jpeg((byte) 1)));
        assertThat(problem.reason()).isEqualTo("NOT_A_FRAME");
        assertThat(problem).message().contains("no header video-codec");
        assertThat(problem(video, TestFrames.cameraFrame("gate", 1)).reason()).isEqualTo("NOT_A_FRAME");
    }

    @ParameterizedTest
    @ValueSource(strings = {P_SLICE, IDR})
    void whatAPacketSaysOfKeyFramesAddsToWhatItsBytesSay(String hex) throws FrameProblem {
        boolean idr = hex.equals(IDR);
        assertThat(described(PARSER.parse(record(hex, "video-codec", "h264"))).key())
                .isEqualTo(idr);
        assertThat(described(PARSER.parse(record(hex, "video-codec", "h264", "video-key-frame", "0")))
                        .key())
                .isEqualTo(idr);
        assertThat(described(PARSER.parse(record(hex, "video-codec", "h264", "video-key-frame", "1")))
                        .key())
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void soDoesARecord(boolean stated) throws FrameProblem {
        Frame frame = PARSER.parse(TestFrames.raw(1, "gate", SingleObject.encode(packet(stated, VideoCodec.H264))));
        assertThat(described(frame).key()).isEqualTo(stated);
    }

    private static VideoPacket packet(boolean keyFrame, VideoCodec codec) {
        byte[] data = HexFormat.of().parseHex(P_SLICE);
        VideoPacket packet = SingleObject.decode(
                Objects.requireNonNull(Clip.record("gate", 1, "wide.h264", data).value()), VideoPacket.class);
        return VideoPacket.newBuilder(packet)
                .setKeyFrame(keyFrame)
                .setCodec(codec)
                .build();
    }
}
