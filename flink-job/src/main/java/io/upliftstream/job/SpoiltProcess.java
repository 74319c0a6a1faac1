package io.upliftstream.job;

import io.upliftstream.model.DenseService;
import java.util.function.IntConsumer;
import org.apache.flink.util.ExceptionUtils;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ends a process in which a job cannot be started again. A class whose initialiser failed once, as when memory was short,
 * is unusable until the process ends: each restart there would fail for a reason that has long gone.
 */
final class SpoiltProcess {
    private static final Logger LOG = LoggerFactory.getLogger(SpoiltProcess.class);

    /** What the JVM says of such a class; any other class that is not found is a matter of the class path. */
    private static final String SPOILT = "Could not initialize class";

    static volatile IntConsumer exit = DenseService::exit;

    private SpoiltProcess() {}

    /** Ends the process with {@link DenseService#HANGING} if that is what failed; else does nothing. */
    static void endIfSpoilt(Throwable failure) {
        boolean spoilt = ExceptionUtils.findThrowable(
                        failure,
                        cause -> cause instanceof NoClassDefFoundError
                                && String.valueOf(cause.getMessage()).startsWith(SPOILT))
                .isPresent();
        if (spoilt) {
            LOG.error(
                    "a class of this process failed to initialise once and cannot be used any more (expected: enough memory"
                            + " for it); ending with exit code {}, for the cluster to start another process",
                    DenseService.HANGING,
                    failure);
            exit.accept(DenseService.HANGING);
        }
    }
}
