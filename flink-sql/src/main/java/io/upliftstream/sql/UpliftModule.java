package io.upliftstream.sql;

import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.table.functions.FunctionDefinition;
import org.apache.flink.table.module.Module;

/**
 * {@code LOAD MODULE uplift}: functions for the records on the topics and the columns of {@code ML_PREDICT}.
 *
 * <p>All take a record as its bytes, and follow one rule: what is no such record, or has no such class or point, gives NULL,
 * since anyone who may write to a topic could fail a job otherwise. {@code RECORD_PROBLEM} says what is wrong with one. Only
 * that a schema registry or a store does not answer fails the query.
 */
public final class UpliftModule implements Module {
    private final Map<String, RecordFunction> functions;

    /** Functions that know the published schemas, and fetch nothing. */
    public UpliftModule() {
        this(Records.PLAIN);
    }

    UpliftModule(Records records) {
        functions = Map.of(
                "class_at", new MaskFunctions.ClassAt(),
                "class_share", new MaskFunctions.ClassShare(),
                "class_histogram", new MaskFunctions.ClassHistogram(),
                "mask_region", new MaskFunctions.MaskRegion(),
                "mask_labels", new MaskFunctions.MaskLabels(),
                "tensor_at", new TensorFunctions.TensorAt(),
                "tensor_values", new TensorFunctions.TensorValues(),
                "record_header", new RecordFunctions.Header(),
                "record_problem", new RecordFunctions.Problem());
        functions.values().forEach(function -> function.records = records);
    }

    @Override
    public Set<String> listFunctions() {
        return functions.keySet();
    }

    @Override
    public Optional<FunctionDefinition> getFunctionDefinition(String name) {
        return Optional.ofNullable(functions.get(name.toLowerCase(Locale.ROOT)));
    }
}
