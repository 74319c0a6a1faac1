package io.upliftstream.sql;

import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
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
        return Set.of();
    }

    @Override
    public Module createModule(Context context) {
        return new UpliftModule();
    }
}
