package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException.Reason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class MicroBatcherTest {
    private final List<List<Integer>> batches = new CopyOnWriteArrayList<>();
    private final Set<Integer> expired = ConcurrentHashMap.newKeySet();
    private final List<String> ends = new CopyOnWriteArrayList<>();
    private final CountDownLatch started = new CountDownLatch(1);
    private final CountDownLatch release = new CountDownLatch(1);

    /**
     * Item 0 and those above 100 hold the worker until {@link #release}; item 13 fails; more than two items are too many
     * if 50 is one of them; the others are answered with their negative.
     */
    private List<Integer> negate(List<Integer> items) throws InterruptedException {
        batches.add(items);
        if (items.contains(50) && items.size() > 2) {
            throw new IllegalStateException("DefaultCPUAllocator: can't allocate memory: you tried");
        }
        if (items.contains(0) || items.stream().anyMatch(item -> item > 100)) {
            started.countDown();
            release.await();
        }
        if (items.contains(13)) {
            throw new IllegalStateException("13");
        }
        return items.stream().map(item -> -item).toList();
    }

    private MicroBatcher<Integer, Integer> batcher(int maxBatch, int capacity, Duration timeout) {
        return batcher(1, maxBatch, capacity, timeout);
    }

    private MicroBatcher<Integer, Integer> batcher(int calls, int maxBatch, int capacity, Duration timeout) {
        return new MicroBatcher<>(
                "uplift-test", calls, maxBatch, capacity, timeout, () -> this::negate, expired::contains, ends::add);
    }

    private MicroBatcher<Integer, Integer> busy(int maxBatch, int capacity) throws InterruptedException {
        MicroBatcher<Integer, Integer> batcher = batcher(maxBatch, capacity, Duration.ofMinutes(1));
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
    void whatExpiredWhileItWaitedIsNotCalled() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = busy(2, 10)) {
            List<CompletableFuture<Integer>> results = new ArrayList<>();
            for (int i = 1; i <= 5; i++) {
                results.add(batcher.submit(i));
            }
            expired.addAll(List.of(1, 2, 4));
            release.countDown();
            assertThat(results.get(2).get()).isEqualTo(-3);
            assertThat(results.get(4).get()).isEqualTo(-5);
            for (int late : List.of(0, 1, 3)) {
                assertFails(results.get(late), Reason.DEADLINE);
            }
        }
        assertThat(batches).containsExactly(List.of(0), List.of(3, 5));
    }

    @Test
    void aBatchThatTakesTooMuchMemoryIsHalvedForGood() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = busy(4, 10)) {
            List<CompletableFuture<Integer>> results = new ArrayList<>();
            for (int item : List.of(48, 49, 50, 51, 52, 53, 54)) {
                results.add(batcher.submit(item));
            }
            release.countDown();
            for (int i = 0; i < 7; i++) {
                assertThat(results.get(i).get()).isEqualTo(-48 - i);
            }
            assertThat(batcher.health()).isEqualTo(new ModelHealth(0, 1, 2));
        }
        assertThat(batches)
                .containsExactly(
                        List.of(0),
                        List.of(48, 49, 50, 51),
                        List.of(48, 49),
                        List.of(50, 51),
                        List.of(52, 53),
                        List.of(54));
    }

    @Test
    void asManyCallsRunAtATimeAsThereAreWorkers() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = batcher(2, 3, 10, Duration.ofMinutes(1))) {
            CompletableFuture<Integer> held = batcher.submit(0);
            started.await();
            assertThat(batcher.submit(1).get()).isEqualTo(-1);
            assertThat(held).isNotDone();
            release.countDown();
            assertThat(held.get()).isZero();
        }
        TestBundles.assertNoThreadsLeft();
    }

    @Test
    void oneOfTwoWorkersIsReplacedAndClosingWaitsForBoth() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = batcher(2, 1, 10, Duration.ofMillis(50))) {
            CompletableFuture<Integer> hangs = batcher.submit(101);
            started.await();
            assertFails(hangs, Reason.TIMEOUT);
            for (int i = 1; i <= 4; i++) {
                assertThat(batcher.submit(i).get()).isEqualTo(-i);
            }
            assertThat(ends).isEmpty();
            release.countDown();
        }
        TestBundles.assertNoThreadsLeft();
        assertThat(MicroBatcher.stuck()).isFalse();
    }

    @Test
    void aLostDeviceEndsTheProcessBeforeItsItemsFail() throws Exception {
        List<String> story = new CopyOnWriteArrayList<>();
        try (MicroBatcher<Integer, Integer> batcher = new MicroBatcher<>(
                "uplift-test",
                1,
                2,
                4,
                Duration.ofMinutes(1),
                () -> items -> {
                    throw new DeviceLostException("gpu(0) does not compute any more", new IllegalStateException());
                },
                item -> false,
                story::add)) {
            CompletableFuture<Integer> lost = batcher.submit(1);
            CompletableFuture<?> told = lost.whenComplete((unused, failure) -> story.add("failed"));
            assertThatThrownBy(told::get).isInstanceOf(ExecutionException.class);
        }
        assertThat(story).containsExactly("gpu(0) does not compute any more", "failed");
    }

    @Test
    void aCallThatHangsLosesItsItemsAndItsWorkerOnly() throws Exception {
        try (MicroBatcher<Integer, Integer> batcher = batcher(2, 10, Duration.ofMillis(50))) {
            CompletableFuture<Integer> hangs = batcher.submit(101);
            started.await();
            CompletableFuture<Integer> next = batcher.submit(1);
            assertFails(hangs, Reason.TIMEOUT);
            assertThat(next.get()).isEqualTo(-1);
            assertThat(batcher.health().hangs()).isEqualTo(1);
            assertThat(MicroBatcher.stuck()).isTrue();
            assertThat(ends).isEmpty();

            assertFails(batcher.submit(102), Reason.TIMEOUT);
            assertThat(ends)
                    .as("a second thread is lost: the process has to end")
                    .containsExactly(ServedModel.TWO_HANG);
            release.countDown();
        }
        TestBundles.assertNoThreadsLeft();
        assertThat(MicroBatcher.stuck()).isFalse();
    }

    @Test
    void closingDoesNotWaitForACallThatHangs() throws Exception {
        MicroBatcher<Integer, Integer> batcher = batcher(1, 2, Duration.ofMillis(50));
        CompletableFuture<Integer> hangs = batcher.submit(101);
        started.await();
        batcher.close();
        assertFails(hangs, Reason.TIMEOUT);
        release.countDown();
        TestBundles.assertNoThreadsLeft();
    }

    private static void assertFails(CompletableFuture<Integer> result, Reason reason) {
        assertThatThrownBy(result::get).cause().isInstanceOfSatisfying(FrameException.class, e -> assertThat(e.reason())
                .isEqualTo(reason));
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
