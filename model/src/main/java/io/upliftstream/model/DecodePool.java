package io.upliftstream.model;

import io.upliftstream.model.FrameException.Reason;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Threads that decode, for sources that take turns: none has more than half of the threads while another waits. What else
 * there is to do, such as encoding a result, goes before decoding.
 *
 * <p>A call without an answer within {@code timeout} of its start is given up as {@link MicroBatcher} gives up those of the
 * model: it fails and loses its thread, another thread takes over, and if a second thread of the process were to be lost that
 * way, {@code endProcess} is run instead.
 */
public final class DecodePool implements Executor, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DecodePool.class);

    private final int size;
    private final Duration timeout;
    private final Runnable endProcess;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition work = lock.newCondition();
    private final Condition ended = lock.newCondition();
    // guarded by lock
    private final Deque<Runnable> errands = new ArrayDeque<>();
    /** Those with something to decode, waiting or at work; the one whose turn is longest past comes first. */
    private final Map<String, Source> sources = new LinkedHashMap<>();

    private int threads;
    private int started;
    private long hangs;
    private boolean closed;

    private static final class Source {
        private final Deque<Call<?>> waiting = new ArrayDeque<>();
        private int working;
    }

    private record Call<T>(String source, Callable<T> decoding, CompletableFuture<T> result) {}

    /** Ends the process with {@link DenseService#HANGING} if a second thread were to be lost. */
    public DecodePool(int size, Duration timeout) {
        this(size, timeout, () -> ServedModel.endProcess(ServedModel.TWO_HANG));
    }

    /** @param endProcess ends the process; it returns only in tests */
    DecodePool(int size, Duration timeout, Runnable endProcess) {
        this.size = size;
        this.timeout = timeout;
        this.endProcess = endProcess;
        lock.lock();
        try {
            for (int i = 0; i < size; i++) {
                startThread();
            }
        } finally {
            lock.unlock();
        }
    }

    int size() {
        return size;
    }

    /** Calls that were given up. */
    long hangs() {
        lock.lock();
        try {
            return hangs;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Decodes when it is the source's turn.
     *
     * @return completes on the thread that decoded, whose time is not limited from then on; fails with TIMEOUT
     */
    public <T> CompletableFuture<T> decode(String source, Callable<T> decoding) {
        CompletableFuture<T> result = new CompletableFuture<>();
        lock.lock();
        try {
            if (closed) {
                return CompletableFuture.failedFuture(new IllegalStateException("closed"));
            }
            sources.computeIfAbsent(source, unused -> new Source()).waiting.add(new Call<>(source, decoding, result));
            work.signal();
        } finally {
            lock.unlock();
        }
        return result;
    }

    /** Runs a task that takes little time; after the end, at once, so that every frame still gets its answer. */
    @Override
    public void execute(Runnable task) {
        lock.lock();
        try {
            if (!closed) {
                errands.add(task);
                work.signal();
                return;
            }
        } finally {
            lock.unlock();
        }
        task.run();
    }

    /** Needs the lock. */
    private void startThread() {
        threads++;
        Thread thread = new Thread(this::work, "uplift-decode-" + ++started);
        thread.setDaemon(true);
        thread.start();
    }

    private void work() {
        boolean mine = true; // until another thread has taken over
        while (mine) {
            Runnable errand = null;
            Call<?> call = null;
            lock.lock();
            try {
                while (errand == null && call == null) {
                    errand = errands.poll();
                    call = errand == null ? nextCall() : null;
                    if (errand == null && call == null) {
                        if (closed) {
                            threads--;
                            ended.signalAll();
                            return;
                        }
                        work.awaitUninterruptibly();
                    }
                }
            } finally {
                lock.unlock();
            }
            if (call != null) {
                mine = run(call);
            } else if (errand != null) {
                run(errand);
            }
        }
        LOG.warn("a decoder that was given up has come back; its image is not used");
        MicroBatcher.STUCK.decrementAndGet();
    }

    private static void run(Runnable errand) {
        try {
            errand.run();
        } catch (RuntimeException e) { // a thread that dies would be missing for ever
            LOG.error("a task of the decoders' threads failed", e);
        }
    }

    /** The call of the source whose turn it is; needs the lock. */
    private @Nullable Call<?> nextCall() {
        Map.Entry<String, Source> next = null;
        for (Map.Entry<String, Source> each : sources.entrySet()) {
            Source source = each.getValue();
            if (!source.waiting.isEmpty()) {
                if (source.working < Math.max(1, size / 2)) {
                    next = each;
                    break;
                } else if (next == null) { // if no other waits
                    next = each;
                }
            }
        }
        if (next == null) {
            return null;
        }
        String name = next.getKey();
        Source source = next.getValue();
        sources.remove(name);
        sources.put(name, source); // at the end
        source.working++;
        return source.waiting.remove();
    }

    /** Whether the call came back before its time was up; if not, another thread has this one's place. */
    private <T> boolean run(Call<T> call) {
        CompletableFuture<T> answer = new CompletableFuture<>();
        CompletableFuture<?> unused = answer.orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS)
                .whenComplete((result, failure) -> settle(call, result, failure));
        try {
            return answer.complete(call.decoding().call());
        } catch (Throwable e) { // whatever it is, somebody waits for an answer
            return answer.completeExceptionally(e);
        }
    }

    private <T> void settle(Call<T> call, @Nullable T result, @Nullable Throwable failure) {
        boolean hangs = failure instanceof TimeoutException;
        if (hangs && MicroBatcher.STUCK.incrementAndGet() > 1) {
            LOG.error("a second call hangs, and a native call cannot be ended: the process ends");
            endProcess.run();
        }
        lock.lock();
        try {
            Source source = sources.get(call.source());
            if (source != null && --source.working == 0 && source.waiting.isEmpty()) {
                sources.remove(call.source());
            }
            if (hangs) {
                this.hangs++;
                threads--;
                startThread();
            }
        } finally {
            lock.unlock();
        }
        if (hangs) {
            LOG.error(
                    "a decoder has not come back within {} ms; it is given up, another thread takes over",
                    timeout.toMillis());
            call.result()
                    .completeExceptionally(new FrameException(
                            Reason.DECODER_TIMEOUT,
                            "the image was not decoded within %d ms (expected: in time)"
                                    .formatted(timeout.toMillis())));
        } else if (failure != null) {
            call.result().completeExceptionally(failure);
        } else {
            call.result().complete(result);
        }
    }

    /** Does what waits, and ends the threads but those that were given up. */
    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            work.signalAll();
            while (threads > 0) {
                ended.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }
}
