package io.upliftstream.sql;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SegmentationRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever is in a column, a function gives a value or NULL, and RECORD_PROBLEM a sentence for what no other takes. Runs the
 * seeds as a test; docs/reliability.md says how to fuzz.
 */
class FunctionsFuzzTest {
    /** Of a record that is looked at: more cells take more time than an input may. */
    private static final long MAX_CELLS = 1 << 16;

    static Stream<byte[]> values() throws IOException {
        List<byte[]> values = new ArrayList<>();
        try (Stream<Path> files = Files.list(Path.of("..", "schemas", "src", "test", "resources", "golden"))) {
            for (Path file : files.sorted().toList()) {
                values.add(Files.readAllBytes(file));
            }
        }
        return values.stream();
    }

    @MethodSource("values")
    @FuzzTest
    void record(byte[] bytes) {
        SpecificRecord record = decoded(bytes);
        if (cells(record) > MAX_CELLS) {
            return;
        }
        String problem = new RecordFunctions.Problem().eval(bytes);
        if (problem != null) {
            assertThat(problem).contains("expected").hasLineCount(1);
        }
        int[] labels = new MaskFunctions.MaskLabels().eval(bytes);
        float[] values = new TensorFunctions.TensorValues().eval(bytes);
        if (problem == null) {
            assertThat(labels != null).isEqualTo(record instanceof SegmentationRecord);
            assertThat(values != null).isEqualTo(record instanceof FeatureRecord);
        }
        Object unused = new RecordFunctions.Header().eval(bytes);
        unused = new MaskFunctions.ClassAt().eval(bytes, 1.0, 1.0);
        unused = new TensorFunctions.TensorAt().eval(bytes, 1.0, 1.0);
        Double share = new MaskFunctions.ClassShare().eval(bytes, "road");
        assertThat(share == null ? 0 : share).isBetween(0.0, 1.0);
        assertThat(new MaskFunctions.ClassHistogram().eval(bytes) == null).isEqualTo(labels == null);
        byte[] region = new MaskFunctions.MaskRegion().eval(bytes, 0.0, 0.0, 400.0, 400.0);
        if (region != null && problem == null) {
            assertThat(new RecordFunctions.Problem().eval(region))
                    .as("a part is a record")
                    .isNull();
        }
    }

    private static @Nullable SpecificRecord decoded(byte[] bytes) {
        try {
            return new RecordDecoder().decode(bytes);
        } catch (MalformedRecordException e) {
            return null;
        }
    }

    private static long cells(@Nullable SpecificRecord record) {
        if (record instanceof SegmentationRecord labels) {
            Mask mask = labels.getMask();
            return (long) mask.getWidth() * mask.getHeight();
        }
        return record instanceof FeatureRecord features
                ? features.getTensor().getShape().stream()
                        .mapToLong(side -> side)
                        .reduce(1, (a, b) -> a * b)
                : 0;
    }
}
