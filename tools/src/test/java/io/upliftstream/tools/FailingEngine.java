package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.Picture;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import java.io.Serializable;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A model, except that the operator fails at a submission when a test says so.
 *
 * @param fails asked at each submission
 */
record FailingEngine(FrameEngine engine, BooleanSupplier fails) implements FrameEngine {
    /** When the operator fails; goes to the subtasks with the job. */
    interface Fault extends BooleanSupplier, Serializable {}

    /**
     * Runs a job that fails so often to its end.
     *
     * @return the model, which stays loaded while the job restarts
     */
    static ModelIdentity runWithRestarts(JobSettings settings, Fault fails) throws Exception {
        try (FrameEngine model = FrameEngine.ofBundle(settings);
                EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 2)) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(
                    env, settings, (given, subtask) -> new FailingEngine(FrameEngine.ofBundle(given, subtask), fails));
            EmbeddedFlink.Job job = flink.submit(env);
            job.awaitEnd();
            assertThat(job.restarts()).isPositive();
            return model.model();
        }
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier expired) {
        if (fails.getAsBoolean()) {
            throw new IllegalStateException("fails on purpose");
        }
        return engine.submit(cameraId, image, expired);
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, Picture picture, BooleanSupplier expired) {
        if (fails.getAsBoolean()) {
            throw new IllegalStateException("fails on purpose");
        }
        return engine.submit(cameraId, picture, expired);
    }

    @Override
    public Executor executor() {
        return engine.executor();
    }

    @Override
    public ModelIdentity model() {
        return engine.model();
    }

    @Override
    public List<String> classNames() {
        return engine.classNames();
    }

    @Override
    public List<HeadSpec> heads() {
        return engine.heads();
    }

    @Override
    public int maxBatch() {
        return engine.maxBatch();
    }

    @Override
    public ModelHealth health() {
        return engine.health();
    }

    @Override
    public void close() {
        engine.close();
    }
}
