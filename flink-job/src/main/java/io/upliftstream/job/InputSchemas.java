package io.upliftstream.job;

import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SchemaRegistry;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The schemas that input values in Confluent's wire format were written with. One that is new is fetched beside the task
 * thread, which sees to its mail meanwhile: frames before it are finished and emitted, and the job can be cancelled.
 */
final class InputSchemas {
    private static final Logger LOG = LoggerFactory.getLogger(InputSchemas.class);
    private static final long RETRY_MILLIS = 1000;
    private static final long PAUSE_MILLIS = 10;
    private static final long WARN_MILLIS = 60_000;

    private final SchemaRegistry registry;
    private final boolean waits;
    private final OptionalInt ownId;
    private final MailboxExecutor mailbox;
    private volatile boolean waiting;
    private long nextWarning = Long.MIN_VALUE / 2;

    /**
     * @param waits whether a frame waits for a registry that is away; else it is tried once
     * @param ownId an id that the job may ask for, if any
     */
    InputSchemas(SchemaRegistry registry, boolean waits, OptionalInt ownId, MailboxExecutor mailbox) {
        this.registry = registry;
        this.waits = waits;
        this.ownId = ownId;
        this.mailbox = mailbox;
    }

    /**
     * Returns when the schema of an id is known, or it is known that there is none.
     *
     * @return nanoseconds that this took; 0 where nothing was to be asked
     */
    long await(int id) throws InterruptedException {
        CompletableFuture<?> schema = registry.request(id, waits);
        if (schema.isDone() && !(waits && isAway(schema))) {
            return 0;
        }
        long start = System.nanoTime();
        waiting = true;
        try {
            awaitAnswer(id, schema);
        } finally {
            waiting = false;
        }
        return System.nanoTime() - start;
    }

    /** Whether a frame waits for the registry. */
    boolean isWaiting() {
        return waiting;
    }

    private void awaitAnswer(int id, CompletableFuture<?> first) throws InterruptedException {
        CompletableFuture<?> schema = first;
        yieldUntilDone(schema);
        while (waits && isAway(schema)) {
            long retryAt = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(RETRY_MILLIS);
            while (System.nanoTime() < retryAt) {
                if (!mailbox.tryYield()) {
                    Thread.sleep(PAUSE_MILLIS);
                }
            }
            if (ownId.isPresent()) { // whose answer tells a forbidden id from a log-in that is not taken
                yieldUntilDone(registry.request(ownId.getAsInt()));
            }
            schema = registry.request(id, waits);
            yieldUntilDone(schema);
        }
    }

    private void yieldUntilDone(CompletableFuture<?> done) throws InterruptedException {
        // The mailbox refuses the mail only when the task is being cancelled, and then nobody waits.
        CompletableFuture<?> unused =
                done.whenComplete((value, failure) -> mailbox.execute(() -> {}, "a schema registry's answer"));
        while (!done.isDone()) {
            mailbox.yield();
        }
    }

    private boolean isAway(CompletableFuture<?> schema) {
        try {
            schema.join();
            return false;
        } catch (CompletionException e) {
            RegistryException cause = SchemaRegistry.cause(e);
            long now = System.nanoTime() / 1_000_000;
            if (cause.mayPass() && now > nextWarning) {
                nextWarning = now + WARN_MILLIS;
                LOG.warn("no frame is read until the schema registry answers: {}", cause.getMessage());
            }
            return cause.mayPass();
        }
    }
}
