package io.upliftstream.sql;

import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.ModelProviderFactory;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.ml.AsyncPredictRuntimeProvider;
import org.apache.flink.table.ml.ModelProvider;
import org.apache.flink.table.types.logical.LogicalTypeRoot;

/**
 * {@code CREATE MODEL … WITH ('provider' = 'uplift')}: a model bundle for {@code ML_PREDICT}.
 *
 * <pre>{@code
 * CREATE MODEL street
 *   INPUT (image BYTES)
 *   OUTPUT (segmentation BYTES, depth ARRAY<FLOAT>, failure STRING)
 *   WITH ('provider' = 'uplift', 'bundle' = 'model/bundles/street');
 * }</pre>
 *
 * <p>The input is one column of images or of {@code CameraFrame} records. {@link OutputColumn} says what the output can
 * be, {@link ModelSettings} has the options.
 */
public final class UpliftModelProviderFactory implements ModelProviderFactory {
    static final String IDENTIFIER = "uplift";

    @Override
    public String factoryIdentifier() {
        return IDENTIFIER;
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(ModelSettings.BUNDLE);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Stream.concat(ModelSettings.OPTIONAL.stream(), Records.REGISTRY.stream())
                .collect(Collectors.toSet());
    }

    /** @throws ValidationException if an option or a column cannot be served */
    @Override
    public ModelProvider createModelProvider(ModelProviderFactory.Context context) {
        var helper = FactoryUtil.createModelProviderFactoryHelper(this, context);
        helper.validate();
        var model = context.getCatalogModel();
        requireImage(model.getResolvedInputSchema());
        var columns = model.getResolvedOutputSchema().getColumns().stream()
                .map(OutputColumn::of)
                .toList();
        Configuration options = (Configuration) helper.getOptions();
        return new Provider(new DensePredictFunction(new ModelSettings(options), new Records(options), columns));
    }

    private static void requireImage(ResolvedSchema input) {
        boolean image = input.getColumnCount() == 1
                && input.getColumns().get(0).getDataType().getLogicalType().is(LogicalTypeRoot.VARBINARY);
        if (!image) {
            throw new ValidationException("model input: %s (expected: one column of type BYTES, such as image BYTES)"
                    .formatted(input.getColumns().stream()
                            .map(Column::asSummaryString)
                            .toList()));
        }
    }

    private record Provider(DensePredictFunction function) implements AsyncPredictRuntimeProvider {
        @Override
        public AsyncPredictFunction createAsyncPredictFunction(ModelProvider.Context context) {
            return function;
        }

        @Override
        public ModelProvider copy() {
            return this; // nothing in it changes
        }
    }
}
