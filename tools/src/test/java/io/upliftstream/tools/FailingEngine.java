package io.upliftstream.tools;

import io.upliftstream.job.FrameEngine;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.Picture;
import io.upliftstream.schemas.ModelIdentity;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;

/**
 * A model, except that the operator fails at a submission when a test says so.
 *
 * @param fails asked at each submission
 */
record FailingEngine(FrameEngine engine, BooleanSupplier fails) implements FrameEngine {
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
