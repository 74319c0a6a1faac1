package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.tools.bench.CodecReport.Encoding;
import io.upliftstream.tools.camera.JpegFormat;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** A short run of {@code uplift bench codecs}: nothing is asserted about speed. */
class CodecBenchITCase {
    @Test
    void everyEncodingIsMeasuredAndFeaturesKeepTheirDirection() throws Exception {
        Path tiny = Path.of("..", "model", "src", "test", "resources", "tiny").toAbsolutePath();
        CodecReport report = CodecBench.run(
                new CodecBench.Options(
                        "synthetic",
                        new JpegFormat(0.75, 320, 180),
                        2,
                        40,
                        24,
                        1,
                        new ServiceOptions(tiny.normalize(), ModelOptions.AUTO)),
                said -> {});

        assertThat(report.frames()).isEqualTo(2);
        assertThat(report.decoding().frame()).isEqualTo("320x180");
        assertThat(report.decoding().times()).isPositive();
        assertThat(report.encodings())
                .extracting(Encoding::payload, Encoding::encoding)
                .containsExactly(
                        tuple("labels 40x24", "rle"),
                        tuple("labels 40x24", "png"),
                        tuple("labels 40x24", "raw-zstd"),
                        tuple("features 6x2x4", "fp16+zstd"),
                        tuple("features 6x2x4", "int8+zstd 256"),
                        tuple("features 6x2x4", "int8+zstd 32"),
                        tuple("record of 40x24", "single-object"),
                        tuple("record of 40x24", "wire format"));
        assertThat(report.encodings().subList(0, 3))
                .extracting(Encoding::cosine)
                .containsOnlyNulls();
        assertThat(report.encodings().subList(3, 6))
                .extracting(Encoding::lowestCosine)
                .allMatch(cosine -> cosine > 0.98);
        assertThat(report.toString()).contains("times as fast", "labels 40x24, png", "int8+zstd 32");
    }
}
