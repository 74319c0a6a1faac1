package io.upliftstream.sql;

import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.ModuleFactory;
import org.apache.flink.table.module.Module;

/** Finds {@link UpliftModule} by its name, {@code uplift}. */
public final class UpliftModuleFactory implements ModuleFactory {
    @Override
    public String factoryIdentifier() {
        return UpliftModelProviderFactory.IDENTIFIER;
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of();
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Stream.concat(Records.REGISTRY.stream(), Stream.of(Records.CLAIM_CHECK_DIRECTORY))
                .collect(Collectors.toSet());
    }

    /** @throws ValidationException if an option is not known, or cannot work */
    @Override
    public Module createModule(Context context) {
        FactoryUtil.ModuleFactoryHelper helper = FactoryUtil.createModuleFactoryHelper(this, context);
        helper.validate();
        return new UpliftModule(new Records((Configuration) helper.getOptions()));
    }
}
