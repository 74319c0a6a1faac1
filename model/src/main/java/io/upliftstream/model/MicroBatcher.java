package io.upliftstream.model;

import io.upliftstream.model.FrameException.Reason;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A bounded queue in front of workers of which each takes whatever waits, up to a batch, as soon as it is free. None
 * lingers for a fuller batch: under load the queue fills by itself while they are busy.
 *
 * <p>No call harms more than it must. Items that expired while they waited are refused as a batch is formed. When a batch
 * fails, its items are tried again one by one; when it takes too much memory, in halves, and no later batch is as large.
 * A call without an answer within {@code timeout} of its start fails its items and loses its thread, which cannot be
 * ended from outside: another worker takes over. If a second thread of the process were to be lost that way, {@code
 * endProcess} is run instead; and when a call finds its device lost, before its items come to any end.
 */
final class MicroBatcher<T, R> implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(MicroBatcher.class);

    /** How many threads of this process are in calls that were given up, of models and of decoders. */
    static final AtomicInteger STUCK = new AtomicInteger();

    /** Computes one result per item, in their order. */
    interface BatchFunction<T, R> {
        List<R> apply(List<T> items) throws Exception;
    }

    private record Waiting<T, R>(T item, CompletableFuture<R> result) {}

    private final String name;
    private final Supplier<BatchFunction<T, R>> functions;
    private final int capacity;
    private final Duration timeout;
    private final Predicate<T> expired;
    private final Consumer<String> endProcess;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition notEmpty = lock.newCondition();
    private final Condition notFull = lock.newCondition();
    // guarded by lock
    private final Deque<Waiting<T, R>> queue = new ArrayDeque<>();
    private final Deque<List<Waiting<T, R>>> retries = new ArrayDeque<>();
    /** Each completes when a worker, and those that took over from it, have ended. */
    private final List<CompletableFuture<Void>> workers = new ArrayList<>();

    private boolean closed;
    private ModelHealth health;

    /**
     * Starts the workers.
     *
     * @param calls workers, each with a call of its own
     * @param functions makes a function for every worker, so that no two share a buffer
     * @param expired whether nobody wants an item's result any more
     * @param endProcess ends the process, and says why; it returns only in tests
     */
    MicroBatcher(
            String name,
            int calls,
            int maxBatch,
            int capacity,
            Duration timeout,
            Supplier<BatchFunction<T, R>> functions,
            Predicate<T> expired,
            Consumer<String> endProcess) {
        this.name = name;
        this.capacity = capacity;
        this.timeout = timeout;
        this.functions = functions;
        this.expired = expired;
        this.endProcess = endProcess;
        health = new ModelHealth(0, 0, maxBatch);
        lock.lock();
        try {
            for (int i = 0; i < calls; i++) {
                CompletableFuture<Void> ended = new CompletableFuture<>();
                workers.add(ended);
                startWorker(ended);
            }
        } finally {
            lock.unlock();
        }
    }

    /** Queues an item; waits while the queue is full. The result may complete on the worker's thread. */
    CompletableFuture<R> submit(T item) throws InterruptedException {
        CompletableFuture<R> result = new CompletableFuture<>();
        lock.lockInterruptibly();
        try {
            while (queue.size() >= capacity && !closed) {
                notFull.await();
            }
            if (closed) {
                return CompletableFuture.failedFuture(new IllegalStateException("closed"));
            }
            queue.add(new Waiting<>(item, result));
            notEmpty.signal();
            return result;
        } finally {
            lock.unlock();
        }
    }

    ModelHealth health() {
        lock.lock();
        try {
            return health;
        } finally {
            lock.unlock();
        }
    }

    /** Starts a worker; {@code ended} completes when it has ended, or was given up while the batcher closes. */
    private void startWorker(CompletableFuture<Void> ended) {
        BatchFunction<T, R> function = functions.get();
        Thread worker = new Thread(() -> work(function, ended), name);
        worker.setDaemon(true);
        worker.start();
    }

    private void work(BatchFunction<T, R> function, CompletableFuture<Void> ended) {
        for (List<Waiting<T, R>> batch = take(); !batch.isEmpty(); batch = take()) {
            if (!call(function, batch, ended)) {
                LOG.warn("{}: a call that was given up has come back; its answer is not used", name);
                STUCK.decrementAndGet();
                return;
            }
        }
        ended.complete(null);
    }

    /** The next batch, of at least one item; an empty one once closed. */
    private List<Waiting<T, R>> take() {
        while (true) {
            List<Waiting<T, R>> batch = new ArrayList<>();
            List<Waiting<T, R>> tooLate = new ArrayList<>();
            lock.lock();
            try {
                while (queue.isEmpty() && retries.isEmpty() && !closed) {
                    notEmpty.awaitUninterruptibly();
                }
                if (!retries.isEmpty()) {
                    return retries.remove();
                }
                while (batch.size() < health.batchLimit() && !queue.isEmpty()) {
                    Waiting<T, R> next = queue.remove();
                    (expired.test(next.item()) ? tooLate : batch).add(next);
                }
                notFull.signalAll();
                if (tooLate.isEmpty()) {
                    return batch;
                }
            } finally {
                lock.unlock();
            }
            tooLate.forEach(late -> late.result()
                    .completeExceptionally(new FrameException(
                            Reason.DEADLINE, "the frame expired while it waited for the model (expected: its turn)")));
            if (!batch.isEmpty()) {
                return batch;
            }
        }
    }

    /** Whether the function came back before its time was up; if not, somebody else is the worker now. */
    private boolean call(BatchFunction<T, R> function, List<Waiting<T, R>> batch, CompletableFuture<Void> workerEnded) {
        CompletableFuture<List<R>> answer = new CompletableFuture<>();
        CompletableFuture<?> unused = answer.orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS)
                .whenComplete((results, failure) -> settle(batch, results, failure, workerEnded));
        try {
            return answer.complete(
                    function.apply(batch.stream().map(Waiting::item).toList()));
        } catch (Throwable e) { // a worker that dies would leave every later item waiting for ever
            return answer.completeExceptionally(e);
        }
    }

    private void settle(
            List<Waiting<T, R>> batch,
            @Nullable List<R> results,
            @Nullable Throwable failure,
            CompletableFuture<Void> workerEnded) {
        if (failure instanceof DeviceLostException) {
            LOG.error("{}: the process ends", name, failure);
            endProcess.accept(String.valueOf(failure.getMessage()));
        }
        if (results != null && results.size() == batch.size()) {
            for (int i = 0; i < batch.size(); i++) {
                batch.get(i).result().complete(results.get(i));
            }
        } else if (failure instanceof TimeoutException) {
            giveUp(batch, workerEnded);
        } else if (batch.size() == 1) {
            batch.get(0)
                    .result()
                    .completeExceptionally(new FrameException(
                            isOutOfMemory(failure) ? Reason.OUT_OF_MEMORY : Reason.MODEL_FAILED,
                            "the model failed: " + (failure == null ? "it gave no answer" : failure.getMessage()),
                            failure));
        } else {
            retry(batch, failure);
        }
    }

    /** Puts a failed batch before all that wait, in parts; after one that took too much memory, none is larger again. */
    private void retry(List<Waiting<T, R>> batch, @Nullable Throwable failure) {
        boolean memory = isOutOfMemory(failure);
        int size = memory ? (batch.size() + 1) / 2 : 1;
        LOG.warn("{}: a batch of {} failed and is tried again in parts of {}", name, batch.size(), size, failure);
        lock.lock();
        try {
            for (int end = batch.size(); end > 0; end -= size) {
                retries.addFirst(batch.subList(Math.max(0, end - size), end));
            }
            int limit = memory ? Math.min(health.batchLimit(), size) : health.batchLimit();
            health = new ModelHealth(health.hangs(), health.retries() + 1, limit);
        } finally {
            lock.unlock();
        }
    }

    private void giveUp(List<Waiting<T, R>> batch, CompletableFuture<Void> workerEnded) {
        if (STUCK.incrementAndGet() > 1) {
            LOG.error("{}: a second call hangs, and a native call cannot be ended: the process ends", name);
            endProcess.accept(ServedModel.TWO_HANG);
        }
        LOG.error(
                "{}: a call with {} frames has not come back within {} ms; it is given up, another worker takes over",
                name,
                batch.size(),
                timeout.toMillis());
        lock.lock();
        try {
            health = new ModelHealth(health.hangs() + 1, health.retries(), health.batchLimit());
            if (closed) {
                workerEnded.complete(null);
            } else {
                startWorker(workerEnded);
            }
        } finally {
            lock.unlock();
        }
        batch.forEach(one -> one.result()
                .completeExceptionally(new FrameException(
                        Reason.TIMEOUT,
                        "the model gave no answer within %d ms (expected: one in time)"
                                .formatted(timeout.toMillis()))));
    }

    /** Whether memory was short, which PyTorch says in words only: "CUDA out of memory", "DefaultCPUAllocator: can't allocate memory". */
    private static boolean isOutOfMemory(@Nullable Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            String message = String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT);
            if (cause instanceof OutOfMemoryError
                    || message.contains("out of memory")
                    || message.contains("can't allocate memory")
                    || message.contains("not enough memory")) {
                return true;
            }
        }
        return false;
    }

    /** Whether a call of this process that was given up has not come back: what it uses must not be freed. */
    static boolean stuck() {
        return STUCK.get() > 0;
    }

    /** Fails what still waits, lets the running batch finish or time out, and ends the workers. */
    @Override
    public void close() {
        List<Waiting<T, R>> left = new ArrayList<>();
        CompletableFuture<Void> ended;
        lock.lock();
        try {
            closed = true;
            retries.forEach(left::addAll);
            retries.clear();
            left.addAll(queue);
            queue.clear();
            notEmpty.signalAll();
            notFull.signalAll();
            ended = CompletableFuture.allOf(workers.toArray(CompletableFuture[]::new));
        } finally {
            lock.unlock();
        }
        left.forEach(waiting -> waiting.result().completeExceptionally(new IllegalStateException("closed")));
        ended.join(); // not to be interrupted
    }
}
