package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.io.TempDir;

/** What {@code uplift bench} makes of its options; what it measures is tested beside it. */
class BenchCommandITCase {
    @Test
    @EnabledOnOs(architectures = {"amd64", "x86_64"})
    void oneBundleIsComparedAtTwoPrecisions(@TempDir Path directory) throws Exception {
        Path street = Path.of("..", "model", "bundles", "street");
        Path json = directory.resolve("report.json");
        assertThat(benchModel("--bundle=" + street, "--against=" + street + ":int8", "--json=" + json))
                .isEmpty();
        JsonNode models = new ObjectMapper().readTree(json.toFile()).get("models");
        assertThat(models.findValuesAsText("variant"))
                .satisfiesExactly(fp32 -> assertThat(fp32).isEqualTo("cpu-fp32"), int8 -> assertThat(int8)
                        .startsWith("cpu-int8")); // "+cpu-bf16" where the CPU has that
        assertThat(benchModel("--against=" + street + ":int7"))
                .isEqualTo("uplift: --precision: int7 (expected: auto, fp32, bf16, fp16 or int8)\n");
    }

    /** What it says on standard error. */
    private static String benchModel(String... arguments) {
        StringWriter errors = new StringWriter();
        List<String> all = new ArrayList<>(List.of("bench", "model", "--device=cpu", "--precision=fp32", "--rounds=1"));
        all.addAll(List.of(arguments));
        Uplift.run(all.toArray(String[]::new), new PrintWriter(errors, true));
        return errors.toString();
    }
}
