package io.upliftstream.sql;

import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameException;
import io.upliftstream.schemas.MalformedRecordException;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.ThreadSafeSimpleCounter;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.functions.FunctionContext;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;

/** A row for every image, from the micro-batching service that this process shares among all who serve the same model. */
@SuppressWarnings("NullAway.Init") // open() sets what a function needs
public final class DensePredictFunction extends AsyncPredictFunction {
    private final ModelSettings settings;
    private final Records records;
    private final List<OutputColumn> columns;

    private transient @Nullable DenseService service;
    private transient ResultRows rows;
    private transient Counter results;
    private transient Counter failures;

    DensePredictFunction(ModelSettings settings, Records records, List<OutputColumn> columns) {
        this.settings = settings;
        this.records = records;
        this.columns = columns;
    }

    @Override
    public void open(FunctionContext context) throws Exception {
        DenseService opened = settings.acquire();
        service = opened;
        for (OutputColumn column : columns) {
            column.check(opened.bundle());
        }
        rows = new ResultRows(opened, columns);
        MetricGroup metrics = context.getMetricGroup().addGroup("uplift");
        results = metrics.counter("results", new ThreadSafeSimpleCounter());
        failures = metrics.counter("failures", new ThreadSafeSimpleCounter());
        LoggerFactory.getLogger(DensePredictFunction.class).info("{}", opened.describe());
    }

    @Override
    public CompletableFuture<Collection<RowData>> asyncPredict(RowData input) {
        FrameValue frame;
        try {
            frame = FrameValue.of(input.isNullAt(0) ? new byte[0] : input.getBinary(0), records);
        } catch (MalformedRecordException e) {
            return CompletableFuture.completedFuture(failure("MALFORMED_RECORD", e));
        }
        return submit(frame).handle((result, failure) -> {
            if (failure == null) {
                results.inc();
                return List.of(rows.result(frame, result));
            }
            Throwable cause = failure instanceof CompletionException ? failure.getCause() : failure;
            if (cause instanceof FrameException problem) {
                return failure(problem.reason().name(), problem);
            }
            throw new TableException("the model cannot be used any more: " + cause, cause);
        });
    }

    private CompletableFuture<DenseResult> submit(FrameValue frame) {
        if (service == null) {
            throw new IllegalStateException("the function is not open");
        }
        return service.submit(frame.cameraId(), frame.image(), () -> false);
    }

    private Collection<RowData> failure(String reason, Exception problem) {
        failures.inc();
        String text = reason + ": " + problem.getMessage();
        if (settings.failsJob()) {
            throw new TableException("an image has no result, and the model has on-failure = fail: " + text, problem);
        }
        return List.of(rows.failure(text));
    }

    /** Passes failures on as they are: Flink's own method would write every byte of the image into their messages. */
    @Override
    public void eval(CompletableFuture<Collection<RowData>> future, Object... input) {
        var unused = asyncPredict(GenericRowData.of(input)).whenComplete((row, failure) -> {
            if (failure == null) {
                future.complete(row);
            } else {
                future.completeExceptionally(failure);
            }
        });
    }

    @Override
    public void close() {
        if (service != null) {
            service.close();
        }
    }
}
