package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class MicroBatcherTest {
    private final List<List<Integer>> batches = new ArrayList<>();
    private final CountDownLatch started = new CountDownLatch(1);
    private final CountDownLatch release = new CountDownLatch(1);

    /** Item 0 holds the worker until {@link #release}; item 13 fails; the others are answered with their negative. */
    private List<Integer> negate(List<Integer> items) throws InterruptedException {
        batches.add(items);
        if (items.contains(0)) {
            started.countDown();
            release.await();
        }
        if (items.contains(13)) {
            throw new IllegalStateException("13");
        }
        return items.stream().map(item -> -item).toList();
    }

    private MicroBatcher<Integer, Integer> busy(int maxBatch, int capacity) throws InterruptedException {
        MicroBatcher<Integer, Integer> batcher = new MicroBatcher<>("uplift-test", maxBatch, capacity, this::negate);
        assertThat(batcher.submit(0)).isNotNull();
        started.await();
        return batcher;
    }

    @Test
    void takesWhatWaitsUpToTheMaximum() throws Exception {
        List<CompletableFuture<Integer>> results = new ArrayList<>();
        try (MicroBatcher<Integer, Integer> batcher = busy(3, 10)) {
            for (int i = 1; i <= 4; i++) {
                results.add(batcher.submit(i));
            }
            release.countDown();
            for (int i = 1; i <= 4; i++) {
                assertThat(results.get(i - 1).get()).isEqualTo(-i);
            }
        }
        assertThat(batches).containsExactly(List.of(0), List.of(1, 2, 3), List.of(4));
    }

    @Test
    void onlyTheGuiltyItemOfABatchFails() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = busy(3, 10)) {
            CompletableFuture<Integer> before = batcher.submit(12);
            CompletableFuture<Integer> guilty = batcher.submit(13);
            CompletableFuture<Integer> after = batcher.submit(14);
            release.countDown();
            assertThat(before.get()).isEqualTo(-12);
            assertThat(after.get()).isEqualTo(-14);
            assertThatThrownBy(guilty::get)
                    .isInstanceOf(ExecutionException.class)
                    .hasMessageContaining("13");
        }
        assertThat(batches).containsExactly(List.of(0), List.of(12, 13, 14), List.of(12), List.of(13), List.of(14));
    }

    @Test
    void aFullQueueHoldsTheSubmitterBack() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = busy(1, 2)) {
            assertThat(List.of(batcher.submit(1), batcher.submit(2))).noneMatch(CompletableFuture::isDone);
            CompletableFuture<Integer> third = new CompletableFuture<>();
            Thread submitter = new Thread(() -> {
                try {
                    third.complete(batcher.submit(3).get());
                } catch (InterruptedException | ExecutionException e) {
                    third.completeExceptionally(e);
                }
            });
            submitter.start();
            while (submitter.getState() != Thread.State.WAITING) {
                Thread.onSpinWait();
            }
            assertThat(third).isNotDone();
            release.countDown();
            assertThat(third.get()).isEqualTo(-3);
        }
    }

    @Test
    void closingFailsWhatWaitsAndEndsTheWorker() throws Exception {
        MicroBatcher<Integer, Integer> batcher = busy(1, 2);
        CompletableFuture<Integer> waiting = batcher.submit(1);
        release.countDown();
        batcher.close();
        assertThat(waiting).isDone();
        TestBundles.assertNoThreadsLeft();
        assertThatThrownBy(() -> batcher.submit(2).get()).hasMessageContaining("closed");
    }
}
