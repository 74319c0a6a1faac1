package io.upliftstream.tools.demo;

import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.Timings;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Mean times of the stages, as the records state them. */
final class MeanTimings {
    private final long[] micros = new long[5];
    private long records;
    private @Nullable String variant;

    void add(RecordHeader header) {
        header.getModel().ifPresent(model -> variant = model.getVariant());
        header.getTimings().ifPresent(this::add);
    }

    private void add(Timings timings) {
        micros[0] += timings.getDecodeMicros();
        micros[1] += timings.getQueueMicros();
        micros[2] += timings.getBackboneMicros();
        micros[3] += timings.getUpsampleMicros();
        micros[4] += timings.getEncodeMicros();
        records++;
    }

    /** Milliseconds by stage, in the order of the stages. */
    Map<String, Double> meanMillis() {
        String[] names = {"decode", "queue", "backbone", "upsample", "encode"};
        Map<String, Double> means = new LinkedHashMap<>();
        for (int i = 0; i < names.length && records > 0; i++) {
            means.put(names[i], Summary.round(micros[i] / 1e3 / records, 2));
        }
        return means;
    }

    /** The model's variant that ran; null before the first record. */
    @Nullable
    String variant() {
        return variant;
    }
}
