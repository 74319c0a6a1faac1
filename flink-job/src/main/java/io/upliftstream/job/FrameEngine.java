package io.upliftstream.job;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.DenseModel;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameException.Reason;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.Label;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.Picture;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.schemas.ModelIdentity;
import java.io.Serializable;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.slf4j.LoggerFactory;

/** What the inference operator needs of a model: in production a {@link DenseService}. */
public interface FrameEngine extends AutoCloseable {
    /** Frames that each subtask can have in front of the model where it chooses its own capacity, which is less. */
    int AUTO_QUEUE = 32;

    /**
     * Starts work on an image. An exception thrown from here, unlike one that the future ends with, is no frame's fault
     * and fails the job.
     *
     * @param cameraId of the image: no camera has more than its share of the decoders while another waits
     * @param image JPEG or PNG
     * @param expired whether the result is of no use any more: then the frame may fail with {@link Reason#DEADLINE} instead
     *     of being looked at. Asked by any thread.
     */
    CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier expired);

    /** The same for a picture that was decoded before, which the engine releases. */
    default CompletableFuture<DenseResult> submit(String cameraId, Picture picture, BooleanSupplier expired) {
        throw new UnsupportedOperationException("an engine that takes no pictures");
    }

    /** Where results are encoded, beside the model. */
    Executor executor();

    /** The model, as every record names it. */
    ModelIdentity model();

    /** Names of the classes, label 0 first. */
    List<String> classNames();

    /** The heads of the model. */
    List<HeadSpec> heads();

    /** Most frames of one call of the model. */
    int maxBatch();

    /** Calls of the model that run at a time. */
    default int calls() {
        return 1;
    }

    /** How the model has fared. */
    ModelHealth health();

    @Override
    void close();

    /**
     * Makes a subtask's engine when the subtask opens. A {@link StartupException} ends the job at its start; after a restart
     * Flink tries again, as it does after others.
     */
    @FunctionalInterface
    interface Factory extends Serializable {
        FrameEngine open(JobSettings settings, RuntimeContext subtask) throws Exception;
    }

    /**
     * The model of the settings' bundle, shared by all subtasks of the process that run on its device: of several GPUs each
     * subtask takes its own, as far as they last.
     *
     * @throws StartupException if the bundle cannot be served here
     */
    static FrameEngine ofBundle(JobSettings settings, RuntimeContext subtask) {
        GpuShare gpu;
        try {
            gpu = GpuShare.take(
                    settings.model(),
                    subtask.getTaskInfo().getIndexOfThisSubtask(),
                    subtask.getExternalResourceInfos(GpuShare.RESOURCE),
                    () -> DenseModel.usableGpus(settings.model()));
        } catch (BundleException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
        try {
            return ofBundle(settings, gpu.model(), gpu::close);
        } catch (RuntimeException | Error e) {
            gpu.close();
            throw e;
        }
    }

    /** The same outside a job. */
    static FrameEngine ofBundle(JobSettings settings) {
        return ofBundle(settings, settings.model(), () -> {});
    }

    private static FrameEngine ofBundle(JobSettings settings, ModelOptions placed, Runnable closed) {
        int queue = settings.get(ServingOptions.QUEUE_CAPACITY);
        int subtasks = settings.get(ServingOptions.PARALLELISM);
        ServiceOptions options = new ServiceOptions(
                settings.bundle(),
                placed,
                settings.get(InputOptions.FRAME_MAX_PIXELS),
                subtasks * (queue > 0 ? queue : AUTO_QUEUE),
                settings.get(ServingOptions.MODEL_TIMEOUT),
                settings.get(InputOptions.FRAME_TIMEOUT));
        DenseService service;
        try {
            service = settings.controlTopic().isEmpty()
                    ? DenseService.acquire(options)
                    : DenseService.acquire(options, settings.get(ControlOptions.LOAD_TIMEOUT));
        } catch (BundleException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
        try {
            settings.checkPin(service.bundle());
        } catch (StartupException e) {
            service.close();
            throw e;
        }
        LoggerFactory.getLogger(FrameEngine.class).info("{}", service.describe());
        ModelIdentity model = new ModelIdentity(
                service.bundle().name(),
                service.bundle().version(),
                service.bundle().sha256(),
                service.variant().name());
        List<String> classNames =
                service.bundle().labels().stream().map(Label::name).toList();
        return new FrameEngine() {
            @Override
            public CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier expired) {
                return service.submit(cameraId, image, expired);
            }

            @Override
            public CompletableFuture<DenseResult> submit(String cameraId, Picture picture, BooleanSupplier expired) {
                return service.submit(cameraId, picture, expired);
            }

            @Override
            public Executor executor() {
                return service.executor();
            }

            @Override
            public ModelIdentity model() {
                return model;
            }

            @Override
            public List<String> classNames() {
                return classNames;
            }

            @Override
            public List<HeadSpec> heads() {
                return service.bundle().heads();
            }

            @Override
            public int maxBatch() {
                return service.maxBatch();
            }

            @Override
            public int calls() {
                return service.calls();
            }

            @Override
            public ModelHealth health() {
                return service.health();
            }

            @Override
            public void close() {
                try {
                    service.close();
                } finally {
                    closed.run();
                }
            }
        };
    }
}
