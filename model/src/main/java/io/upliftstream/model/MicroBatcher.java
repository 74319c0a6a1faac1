package io.upliftstream.model;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A bounded queue in front of one worker that takes whatever waits, up to a batch, as soon as it is free. It never
 * lingers for a fuller batch: under load the queue fills by itself while the worker is busy.
 *
 * <p>When a batch of several fails, its items are tried again one by one, so that only the guilty ones fail.
 */
final class MicroBatcher<T, R> implements AutoCloseable {

    /** Computes one result per item, in their order. */
    interface BatchFunction<T, R> {
        List<R> apply(List<T> items) throws Exception;
    }

    private record Waiting<T, R>(T item, CompletableFuture<R> result) {}

    private final BatchFunction<T, R> function;
    private final int maxBatch;
    private final int capacity;
    private final Deque<Waiting<T, R>> queue = new ArrayDeque<>();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition notEmpty = lock.newCondition();
    private final Condition notFull = lock.newCondition();
    private final Thread worker;
    private boolean closed;

    MicroBatcher(String name, int maxBatch, int capacity, BatchFunction<T, R> function) {
        this.function = function;
        this.maxBatch = maxBatch;
        this.capacity = capacity;
        worker = new Thread(this::work, name);
        worker.setDaemon(true);
        worker.start();
    }

    /** Queues an item; waits while the queue is full. The result completes on the worker's thread. */
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

    private void work() {
        for (List<Waiting<T, R>> batch = take(); !batch.isEmpty(); batch = take()) {
            run(batch);
        }
    }

    /** What waits, at least one item; none at all once closed. */
    private List<Waiting<T, R>> take() {
        List<Waiting<T, R>> batch = new ArrayList<>(maxBatch);
        lock.lock();
        try {
            while (queue.isEmpty() && !closed) {
                notEmpty.awaitUninterruptibly();
            }
            while (batch.size() < maxBatch && !queue.isEmpty()) {
                batch.add(queue.remove());
            }
            notFull.signalAll();
            return batch;
        } finally {
            lock.unlock();
        }
    }

    private void run(List<Waiting<T, R>> batch) {
        try {
            List<R> results = function.apply(batch.stream().map(Waiting::item).toList());
            for (int i = 0; i < batch.size(); i++) {
                batch.get(i).result().complete(results.get(i));
            }
        } catch (Throwable e) { // a worker that dies would leave every later item waiting for ever
            if (batch.size() == 1) {
                batch.get(0).result().completeExceptionally(e);
            } else {
                batch.forEach(one -> run(List.of(one)));
            }
        }
    }

    /** Fails what still waits, lets the running batch finish and ends the worker. */
    @Override
    public void close() {
        List<Waiting<T, R>> left;
        lock.lock();
        try {
            closed = true;
            left = List.copyOf(queue);
            queue.clear();
            notEmpty.signalAll();
            notFull.signalAll();
        } finally {
            lock.unlock();
        }
        left.forEach(waiting -> waiting.result().completeExceptionally(new IllegalStateException("closed")));
        boolean interrupted = false;
        while (worker.isAlive()) {
            try {
                worker.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
