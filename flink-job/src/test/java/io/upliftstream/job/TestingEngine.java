package io.upliftstream.job;

import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.Picture;
import io.upliftstream.schemas.ModelIdentity;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;

/**
 * A model whose answers a test gives, in the order that the test likes. The engine without a model in the benches decodes
 * on threads of its own, which no test could hold up; the two have nothing in common but the interface.
 */
final class TestingEngine implements FrameEngine {
    static final ModelIdentity MODEL = new ModelIdentity("test", "1", "ab".repeat(32), "cpu-fp32");

    final List<CompletableFuture<DenseResult>> submitted = new CopyOnWriteArrayList<>();
    final List<BooleanSupplier> expired = new CopyOnWriteArrayList<>();
    volatile boolean closed;
    ModelIdentity model = MODEL;
    int calls = 1;
    private boolean answersAtOnce;

    /** Answers what was submitted, and from now on at once. */
    void answerAll() {
        answersAtOnce = true;
        submitted.forEach(answer -> answer.complete(TestFrames.result()));
    }

    void answer(int submission) {
        submitted.get(submission).complete(TestFrames.result());
    }

    /** What a model does: refuses a frame that expired, answers the others. */
    void take(int submission) {
        if (expired.get(submission).getAsBoolean()) {
            fail(submission, new FrameException(FrameException.Reason.DEADLINE, "expired"));
        } else {
            answer(submission);
        }
    }

    void fail(int submission, Throwable failure) {
        submitted.get(submission).completeExceptionally(failure);
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier isExpired) {
        CompletableFuture<DenseResult> answer = new CompletableFuture<>();
        submitted.add(answer);
        if (answersAtOnce) {
            answer.complete(TestFrames.result());
        }
        expired.add(isExpired);
        return answer;
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, Picture picture, BooleanSupplier isExpired) {
        picture.release().run();
        return submit(cameraId, new byte[0], isExpired);
    }

    @Override
    public Executor executor() {
        return Runnable::run;
    }

    @Override
    public ModelIdentity model() {
        return model;
    }

    @Override
    public List<String> classNames() {
        return List.of("road", "car", "sky");
    }

    @Override
    public List<HeadSpec> heads() {
        return List.of(TestFrames.SEGMENTATION, TestFrames.FEATURES, TestFrames.DEPTH);
    }

    @Override
    public int maxBatch() {
        return 2;
    }

    @Override
    public int calls() {
        return calls;
    }

    @Override
    public ModelHealth health() {
        return new ModelHealth(0, 0, 2);
    }

    @Override
    public void close() {
        closed = true;
    }
}
