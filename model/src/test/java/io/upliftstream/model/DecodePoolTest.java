package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException.Reason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class DecodePoolTest {
    private final AtomicInteger ends = new AtomicInteger();
    private final CountDownLatch release = new CountDownLatch(1);

    @AfterEach
    void leavesNoThreads() throws InterruptedException {
        TestBundles.assertNoThreadsLeft();
        assertThat(MicroBatcher.stuck()).isFalse();
    }

    private DecodePool pool(int threads, Duration timeout) {
        return new DecodePool(threads, timeout, ends::incrementAndGet);
    }

    /** Decodes until {@link #release}. */
    private CompletableFuture<Integer> slow(DecodePool pool, String source, CountDownLatch started) {
        return pool.decode(source, () -> {
            started.countDown();
            release.await();
            return 1;
        });
    }

    @Test
    void aDecoderThatHangsLosesItsImageAndItsThreadOnly() throws Exception {
        try (DecodePool pool = pool(1, Duration.ofMillis(50))) {
            CompletableFuture<Integer> hangs = slow(pool, "evil", new CountDownLatch(1));
            CompletableFuture<Integer> next = pool.decode("good", () -> 2);
            assertThatThrownBy(hangs::get).cause().isInstanceOfSatisfying(FrameException.class, e -> assertThat(
                            e.reason())
                    .isEqualTo(Reason.DECODER_TIMEOUT));
            assertThat(next.get()).isEqualTo(2);
            assertThat(pool.hangs()).isEqualTo(1);
            assertThat(MicroBatcher.stuck()).as("nothing it uses is freed").isTrue();
            assertThat(ends).hasValue(0);

            assertThatThrownBy(slow(pool, "evil", new CountDownLatch(1))::get).hasMessageContaining("within 50 ms");
            assertThat(ends)
                    .as("a second thread is lost: the process has to end")
                    .hasValue(1);
            release.countDown();
        }
    }

    @Test
    void aSourceHasHalfOfTheThreadsWhileAnotherWaits() throws Exception {
        try (DecodePool pool = pool(4, Duration.ofMinutes(1))) {
            CountDownLatch two = new CountDownLatch(2);
            List<CompletableFuture<Integer>> evil = new ArrayList<>();
            CountDownLatch held = new CountDownLatch(1);
            CountDownLatch holding = new CountDownLatch(4);
            for (int i = 0; i < 4; i++) { // until all have queued, so that every thread has a choice
                String source = "holder-" + i;
                CompletableFuture<?> unused = pool.decode(source, () -> {
                    holding.countDown();
                    held.await();
                    return 0;
                });
            }
            holding.await();
            for (int i = 0; i < 8; i++) {
                evil.add(slow(pool, "evil", two));
            }
            List<CompletableFuture<Integer>> good = new ArrayList<>();
            for (int i = 0; i < 50; i++) {
                good.add(pool.decode("good-" + i % 2, () -> 3));
            }
            held.countDown();
            for (CompletableFuture<Integer> one : good) {
                assertThat(one.get()).isEqualTo(3);
            }
            assertThat(evil).noneMatch(CompletableFuture::isDone);
            release.countDown();
            for (CompletableFuture<Integer> one : evil) {
                assertThat(one.get()).isEqualTo(1);
            }
        }
    }

    @Test
    void errandsGoBeforeDecodingAndSurviveTheEnd() throws Exception {
        List<String> order = new ArrayList<>();
        DecodePool pool = pool(1, Duration.ofMinutes(1));
        CountDownLatch started = new CountDownLatch(1);
        CompletableFuture<Integer> first = slow(pool, "a", started);
        started.await();
        CompletableFuture<Boolean> decoded = pool.decode("a", () -> order.add("decoded"));
        pool.execute(() -> {
            throw new IllegalStateException("an errand's");
        });
        pool.execute(() -> order.add("encoded"));
        release.countDown();
        assertThat(first.get()).isEqualTo(1);
        assertThat(decoded.get()).isTrue();
        pool.close();
        pool.execute(() -> order.add("after the end"));
        assertThat(order).containsExactly("encoded", "decoded", "after the end");
        assertThat(pool.decode("a", () -> 1)).isCompletedExceptionally();
    }

    @Test
    void whatGoesWrongIsTheImagesAlone() throws Exception {
        try (DecodePool pool = pool(1, Duration.ofMinutes(1))) {
            assertThatThrownBy(pool.decode("a", () -> {
                        throw new OutOfMemoryError("no more");
                    })::get)
                    .hasRootCauseMessage("no more");
            assertThat(pool.decode("a", () -> 1).get()).isEqualTo(1);
        }
    }
}
