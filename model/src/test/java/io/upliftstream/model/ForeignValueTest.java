package io.upliftstream.model;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ForeignValueTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "000000002a0a6e6f727468 | a record in Confluent's framing, of schema 42: send CameraFrame",
                "000000016702060a01 | a record in Confluent's framing, of schema 359",
                "000000000702ffd8ffe000 | a record in Confluent's framing, of schema 7",
                "0000000167640028acd9 | H.264 or H.265 video: send its frames one by one",
                "00000140010c01ffff | H.264 or H.265 video",
                "00000001419a0000000141bc | H.264 or H.265 video",
                "524946462400000057454250565038 | a WebP image: send it as JPEG or PNG",
                "0000002066747970617669660000 | an AVIF image",
                "0000002066747970686569630000 | a HEIF image",
                "000000206674797069736f6d0000 | an MP4 video: send its frames",
                "0000000c4a584c200d0a870a | a JPEG XL image",
                "0000000c6a5020200d0a870a | a JPEG 2000 image",
                "47494638396101000100 | a GIF image",
                "49492a000800 | a TIFF image",
                "1f8b0800000000000003 | data in gzip: send what is packed in it, or let Kafka compress",
                "28b52ffd0458 | data in zstd",
                "4f626a0104 | an Avro file",
                "aced000575720002 | a serialised Java object",
                "0d0aFFD8FFE00010 | a JPEG behind 2 other bytes: send the image's own bytes alone",
                "0189504e470d0a1a0a | a PNG behind 1 other bytes",
            })
    void namesWhatItKnows(String hex, String expected) {
        byte[] value = HexFormat.of().parseHex(hex);
        assertThat(ForeignValue.describe(value))
                .startsWith(value.length + " bytes that look like ")
                .contains(expected);
    }

    @Test
    void readsText() {
        assertThat(describe("/9j/4AAQSkZJRg==")).contains("a JPEG in base64: send the bytes that it stands for");
        assertThat(describe("iVBORw0KGgoAAAANSUhEUg==")).contains("a PNG in base64");
        assertThat(describe("data:image/jpeg;base64,/9j/4AAQ")).contains("an image in a data URL");
        assertThat(describe("{\"image\": \"abc\"}")).contains("JSON, '{\"image\": \"abc\"}': send the image itself");
        assertThat(describe("<frame/>")).contains("XML, '<frame/>'");
        assertThat(describe("東口 " + "x".repeat(100))).contains("text, '東口 " + "x".repeat(37) + "…'");
        assertThat(describe("a\nb\u2028c")).contains("text, 'a b c'").hasLineCount(1);
    }

    @Test
    void saysNothingOfOtherBytes() {
        byte[] noise = new byte[300];
        new Random(4).nextBytes(noise);
        noise[0] = 1;
        assertThat(ForeignValue.describe(noise)).isEqualTo("300 bytes of no known kind");
        assertThat(ForeignValue.describe(new byte[300])).isEqualTo("300 bytes of no known kind");
        assertThat(ForeignValue.describe(new byte[] {0, 0, 1})).isEqualTo("3 bytes of no known kind");
        assertThat(describe("\u0001")).isEqualTo("1 bytes of no known kind");
        assertThat(ForeignValue.describe("é".getBytes(ISO_8859_1))).isEqualTo("1 bytes of no known kind");
    }

    private static String describe(String text) {
        return ForeignValue.describe(text.getBytes(UTF_8));
    }
}
