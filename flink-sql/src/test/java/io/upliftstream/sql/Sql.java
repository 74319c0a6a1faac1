package io.upliftstream.sql;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** A table environment with the module loaded, and rows out of it. */
final class Sql {
    static final Path STREET = Path.of("..", "model", "bundles", "street");

    final StreamExecutionEnvironment env;
    final StreamTableEnvironment tables;

    Sql() {
        Configuration configuration = new Configuration();
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
        configuration.set(ExecutionOptions.RUNTIME_MODE, RuntimeExecutionMode.STREAMING);
        env = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        tables = StreamTableEnvironment.create(env);
    }

    /** A table of values in this order: one column, v. */
    Sql values(String table, List<byte[]> values) {
        tables.createTemporaryView(
                table,
                tables.fromDataStream(env.fromSequence(0, values.size() - 1).map(n -> values.get(n.intValue())))
                        .as("v"));
        return this;
    }

    Sql run(String statement) {
        tables.executeSql(statement);
        return this;
    }

    @SuppressWarnings("try") // a test may be interrupted
    List<Row> rows(String query) throws Exception {
        List<Row> rows = new ArrayList<>();
        try (CloseableIterator<Row> found = tables.executeSql(query).collect()) {
            found.forEachRemaining(rows::add);
        }
        return rows;
    }

    static byte[] image(String name) throws IOException {
        return Files.readAllBytes(Path.of("..", "model", "src", "test", "resources", "images", name));
    }
}
