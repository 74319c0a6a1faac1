package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.sql.ScriptRun;
import io.upliftstream.tools.sql.SqlScript;
import io.upliftstream.tools.sql.SqlScript.Statement;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.streaming.api.operators.collect.CollectSinkOperatorFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code uplift sql}. */
@Command(
        name = "sql",
        description =
                "A script of Flink SQL, in a Flink of its own inside this process: ML_PREDICT with a model bundle,"
                        + " functions for masks and maps, tables on Kafka. Rows of a SELECT are printed as they come; an INSERT goes"
                        + " on beside the statements after it, and the command ends when the last one has. Ctrl-C ends it.",
        footer = {
            "",
            "Examples:",
            "  uplift sql flink-sql/examples/pedestrians.sql        pedestrian pixels per camera and minute",
            "  uplift sql mine.sql --json > rows.jsonl              rows for programs, progress for people",
            "  uplift sql mine.sql --rows 20                        each query ends after so many rows",
            "",
            "A script, for example:",
            "  LOAD MODULE uplift;",
            "  CREATE TABLE segmentation (camera STRING, v BYTES) WITH ('connector' = 'kafka',",
            "    'topic' = 'segmentation', 'properties.bootstrap.servers' = 'localhost:9092',",
            "    'scan.startup.mode' = 'earliest-offset', 'key.format' = 'raw', 'key.fields' = 'camera',",
            "    'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');",
            "  SELECT camera, CLASS_SHARE(v, 'person') FROM segmentation;",
            "Statements end with a semicolon, comments begin with --. SET 'key' = 'value' sets options of Flink.",
            "All functions and options of a model: docs/sql.md"
        })
final class SqlCommand implements Callable<Integer> {
    private static final int SLOTS = 8;

    /** Largest printed row: labels of 16 million cells. */
    private static final MemorySize MOST_ROW = MemorySize.ofMebiBytes(128);

    @Parameters(paramLabel = "FILE", description = "The script.")
    private Path file = Path.of("");

    @Option(
            names = "--rows",
            paramLabel = "N",
            defaultValue = "1000",
            description = "Most rows of a query; it ends after them. Default: ${DEFAULT-VALUE}.")
    private long rows = 1000;

    @Option(names = "--json", description = "Each row as a JSON object on a line; BYTES in base64.")
    private boolean json;

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws IOException, InterruptedException {
        checks.require(rows >= 1, "--rows", rows, ">= 1");
        List<Statement> statements = SqlScript.statements(read());
        Configuration configuration = new Configuration();
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "none"); // an error is for people to see
        configuration.set(CollectSinkOperatorFactory.MAX_BATCH_SIZE, MOST_ROW); // one larger row would fail the query
        configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(256));
        try (EmbeddedFlink flink = new EmbeddedFlink(configuration, SLOTS)) {
            new ScriptRun(flink, System.out, System.err, json, rows).run(statements);
        }
        return 0;
    }

    private String read() {
        try {
            String script = Files.readString(file);
            return script.startsWith("\uFEFF") ? script.substring(1) : script; // a mark of Windows' editors
        } catch (IOException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "FILE: %s cannot be read (expected: a script of SQL statements, in UTF-8)"
                            .formatted(file.toAbsolutePath()),
                    e);
        }
    }
}
