package io.upliftstream.tools.sql;

import io.upliftstream.job.StartupException;
import io.upliftstream.model.BundleException;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.sql.SqlScript.Statement;
import io.upliftstream.tools.stream.RecordFiles;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.table.api.ResultKind;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.api.internal.TableEnvironmentInternal;
import org.apache.flink.table.operations.ModifyOperation;
import org.apache.flink.table.operations.Operation;
import org.apache.flink.table.operations.StatementSetOperation;
import org.apache.flink.table.operations.command.SetOperation;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.ExceptionUtils;

/**
 * The statements of a script, one after the other: a query's rows are printed until it ends, an INSERT goes on beside what
 * follows. What goes wrong names the statement and its line.
 */
public final class ScriptRun {
    private final TableEnvironmentInternal tables;
    private final PrintStream out;
    private final PrintStream err;
    private final boolean json;
    private final long maxRows;
    private final List<Running> running = new ArrayList<>();

    /** The first INSERT that failed, once one has. */
    private final CompletableFuture<Failure> failure = new CompletableFuture<>();

    /** An INSERT that goes on. */
    private record Running(Statement statement, CompletableFuture<?> end) {}

    private record Failure(Statement statement, Throwable error) {}

    /**
     * Prepares a run.
     *
     * @param out where rows go
     * @param err where progress goes
     * @param maxRows of each query; one with more is ended then
     */
    public ScriptRun(EmbeddedFlink flink, PrintStream out, PrintStream err, boolean json, long maxRows) {
        tables = (TableEnvironmentInternal) StreamTableEnvironment.create(flink.environment());
        this.out = out;
        this.err = err;
        this.json = json;
        this.maxRows = maxRows;
    }

    /**
     * Runs all statements, and waits until the last INSERT has ended.
     *
     * @throws StartupException if Flink refuses a statement
     * @throws IOException if a job that a statement started fails
     */
    public void run(List<Statement> statements) throws IOException, InterruptedException {
        for (int i = 0; i < statements.size(); i++) {
            Statement statement = statements.get(i);
            err.printf("%d of %d, line %d: %s%n", i + 1, statements.size(), statement.line(), statement.summary());
            run(statement);
        }
        for (Running insert : running) {
            err.printf(
                    "Waiting for the end of line %d: %s%n",
                    insert.statement().line(), insert.statement().summary());
            await(insert.statement(), insert.end());
        }
    }

    @SuppressWarnings("try") // closing may be interrupted, which ends the command
    private void run(Statement statement) throws IOException, InterruptedException {
        Operation operation;
        TableResult result;
        try {
            operation = tables.getParser().parse(statement.inPlace()).get(0);
            if (operation instanceof SetOperation set) {
                set(set);
                return;
            }
            result = tables.executeInternal(operation);
        } catch (RuntimeException e) {
            if (ExceptionUtils.findThrowable(e, ExecutionException.class).isPresent()) { // with table.dml-sync
                throw failed(statement, e);
            }
            throw refused(statement, e);
        }
        if (operation instanceof ModifyOperation || operation instanceof StatementSetOperation) {
            result.getJobClient().ifPresent(job -> running.add(new Running(statement, end(statement, job))));
            return;
        }
        if (result.getResultKind() == ResultKind.SUCCESS) {
            return;
        }
        RowPrinter printer =
                new RowPrinter(out, json, result.getResolvedSchema().getColumnNames());
        try (CloseableIterator<Row> rows = result.collect()) {
            // Flink's iterator swallows interruptions, so that it has to be another thread that waits for the next row.
            await(statement, CompletableFuture.runAsync(() -> print(rows, printer), task -> {
                Thread thread = new Thread(task, "uplift-rows");
                thread.setDaemon(true);
                thread.start();
            }));
        } catch (IOException | StartupException | InterruptedException e) {
            throw e;
        } catch (Exception e) { // of closing
            throw failed(statement, e);
        }
    }

    private CompletableFuture<?> end(Statement statement, JobClient job) {
        return job.getJobExecutionResult().whenComplete((ended, error) -> {
            if (error != null) {
                failure.complete(new Failure(statement, error));
            }
        });
    }

    /** Waits for the end of what a statement started, but not beyond the failure of an INSERT. */
    private void await(Statement statement, CompletableFuture<?> end) throws IOException, InterruptedException {
        try {
            if (CompletableFuture.anyOf(failure, end).get() instanceof Failure first) {
                throw failed(first.statement(), first.error());
            }
        } catch (ExecutionException e) {
            throw failed(statement, e);
        }
    }

    /** Flink's SQL client does what SET says, not its Table API. */
    private void set(SetOperation set) {
        if (set.getKey().isEmpty() || set.getValue().isEmpty()) {
            throw new IllegalArgumentException("SET without a value (expected: SET 'key' = 'value')");
        }
        tables.getConfig().set(set.getKey().get(), set.getValue().get());
    }

    private void print(CloseableIterator<Row> rows, RowPrinter printer) {
        long printed = 0;
        while (printed < maxRows && rows.hasNext()) {
            printer.print(rows.next());
            printed++;
            if (out.checkError()) {
                throw new UncheckedIOException(new IOException(RecordFiles.NO_MORE));
            }
        }
        boolean more = printed == maxRows;
        err.printf(
                "%d row%s%s%s%n",
                printed, printed == 1 ? "" : "s", more ? ", the most that --rows lets through" : "", printer.note());
    }

    private static StartupException refused(Statement statement, RuntimeException error) {
        return new StartupException(
                StartupException.CONFIGURATION, where(statement) + statement.withoutOptions(innermost(error)), error);
    }

    private static IOException failed(Statement statement, Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (each instanceof BundleException) {
                throw new StartupException(StartupException.ENVIRONMENT, where(statement) + each.getMessage(), error);
            }
        }
        return new IOException(where(statement) + statement.withoutOptions(innermost(error)), error);
    }

    private static String where(Statement statement) {
        return "line %d, %s: ".formatted(statement.line(), statement.summary());
    }

    /** The message of the first cause, where Flink says what is wrong; those around it say where. */
    private static String innermost(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return root.getMessage() == null ? root.toString() : root.getMessage();
    }
}
