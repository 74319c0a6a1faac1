package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.ModelOptions;
import io.upliftstream.tools.TinyBundle;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Short runs of {@code uplift bench model} and {@code uplift bench pipeline}: nothing is asserted about speed. */
class ModelBenchITCase {

    @Test
    void bundlesAreTimedInTurnsStageByStage() throws Exception {
        ModelBench.Contender tiny = new ModelBench.Contender(TinyBundle.PATH, ModelOptions.AUTO);
        ModelReport report = ModelBench.run(new ModelBench.Options(List.of(tiny, tiny), 2, 5, 0.001), said -> {});

        assertThat(report.batch()).isEqualTo(2);
        assertThat(report.models()).hasSize(2).allSatisfy(model -> {
            assertThat(model.name()).isEqualTo("tiny 1.0.0");
            assertThat(model.framesPerSecond()).isPositive();
            assertThat(model.stages().upsampler()).isPositive();
            assertThat(model.matrixPeak()).isPositive();
            assertThat(model.matrixShare()).isNotNull();
            assertThat(model.overheadMillis()).isPositive();
        });
        assertThat(report.models().get(0).times()).isEqualTo(1);
        assertThat(report.toString()).contains("frames/s in batches of 2", "matrix products reach");
    }

    @Test
    void theStreamIsMeasuredBesideALoop() throws Exception {
        PipelineReport report = PipelineBench.run(
                new PipelineBench.Options(
                        1,
                        400, // the processor's time comes in steps of 10 ms
                        320,
                        180,
                        8,
                        1,
                        TinyBundle.PATH,
                        List.of("uplift.checkpoint.interval=500 ms"),
                        List.of("uplift.output.segmentation.encoding=png")),
                said -> {});

        assertThat(report.kilobytes()).isBetween(4.0, 12.0);
        assertThat(report.framesPerSecond()).isPositive();
        assertThat(report.loopCpuMillis()).isPositive();
        assertThat(report.outsideP95()).isGreaterThanOrEqualTo(report.outsideP50());
        assertThat(report.againstRatio()).isPositive();
    }
}
