package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
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
        assertThat(report.masks())
                .extracting(CodecReport.Masks::encoding)
                .containsExactlyInAnyOrder("rle", "png", "raw-zstd");
        assertThat(report.features())
                .extracting(CodecReport.Features::encoding)
                .containsExactly("fp16+zstd", "int8+zstd 256", "int8+zstd 32");
        assertThat(report.features())
                .allSatisfy(features -> assertThat(features.lowestCosine()).isBetween(0.98, 1.0001));
        assertThat(report.toString()).contains("times as fast", "mask 40x24 png", "int8+zstd 32");
    }
}
