package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException.Reason;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class DenseServiceTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path temporary;

    @AfterEach
    void leavesNoThreads() throws InterruptedException {
        TestBundles.assertNoThreadsLeft();
    }

    private static ServiceOptions options(int maxBatch) {
        return new ServiceOptions(
                TestBundles.TINY,
                new ModelOptions("cpu", "fp32", 0, maxBatch),
                1_000_000,
                8,
                Duration.ofSeconds(30),
                Duration.ofSeconds(30));
    }

    /** An image of the model's own size, so that its first byte reaches the model as it is. */
    private static byte[] frame(int firstByte) throws IOException {
        BufferedImage image = new BufferedImage(16, 8, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, firstByte << 16);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        return png.toByteArray();
    }

    @Test
    void answersEveryFrameAndOnlyTheGuiltyFail() throws Exception {
        try (DenseService service = DenseService.acquire(options(4))) {
            assertThat(service.preferredInFlight()).isEqualTo(12);
            List<CompletableFuture<DenseResult>> results = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                results.add(service.submit(i % 10 == 3 ? frame(251) : i % 10 == 6 ? frame(253) : frame(i)));
            }
            results.add(service.submit(new byte[0]));
            for (int i = 0; i < 40; i++) {
                if (i % 10 == 3) {
                    assertFails(results.get(i), Reason.NON_FINITE_OUTPUT, "head features has NaN or infinite");
                } else if (i % 10 == 6) {
                    assertFails(results.get(i), Reason.MODEL_FAILED, "the first byte is 253");
                } else {
                    DenseResult result = results.get(i).get();
                    assertThat(result.output().heads()).hasSize(3);
                    assertThat(result.transform().frameWidth()).isEqualTo(16);
                    assertThat(result.timings().batchSize()).isBetween(1, 4);
                    assertThat(result.timings().decodeNanos()).isPositive();
                    assertThat(result.timings().queueNanos()).isNotNegative();
                    assertThat(result.timings().backboneNanos()).isPositive();
                    assertThat(result.timings().upsampleNanos()).isPositive();
                }
            }
            assertFails(results.get(40), Reason.EMPTY, "no bytes");
        }
    }

    private static void assertFails(CompletableFuture<DenseResult> result, Reason reason, String sentence) {
        assertThatThrownBy(result::get)
                .isInstanceOf(ExecutionException.class)
                .cause()
                .isInstanceOfSatisfying(
                        FrameException.class, e -> assertThat(e.reason()).isEqualTo(reason))
                .hasMessageContaining(sentence);
    }

    @Test
    void aFrameThatExpiredNeverReachesTheModel() throws Exception {
        try (DenseService service = DenseService.acquire(options(4))) {
            AtomicInteger asked = new AtomicInteger();
            assertFails(service.submit("", frame(1), () -> true), Reason.DEADLINE, "a decoder");
            // young when it is decoded, too old when the batch is formed
            assertFails(
                    service.submit("", frame(1), () -> asked.getAndIncrement() > 0),
                    Reason.DEADLINE,
                    "waited for the model");
            assertThat(service.submit("", frame(1), () -> false).get().output().heads())
                    .hasSize(3);
        }
    }

    @Test
    void isSharedAndOutlivesAllButTheLastUser() throws Exception {
        DenseService first = DenseService.acquire(options(0));
        DenseService second = DenseService.acquire(options(0));
        assertThat(TestBundles.upliftThreads()).extracting(Thread::getName).containsOnlyOnce("uplift-model");
        assertThat(first.executor()).isSameAs(second.executor());
        assertThat(first.preferredInFlight()).isEqualTo(3);
        first.close();
        first.close(); // closing twice gives up one share only
        assertThatThrownBy(() -> first.submit(frame(0))).hasMessage("the service was closed");
        assertThat(second.submit(frame(0)).get().output().heads()).hasSize(3);
        second.close();
        try (DenseService again = DenseService.acquire(options(0))) {
            assertThat(again.submit(frame(0)).get().output().heads()).hasSize(3);
        }
    }

    @Test
    void closingAnswersEveryFrameThatWasSubmitted() throws Exception {
        List<CompletableFuture<DenseResult>> results = new ArrayList<>();
        try (DenseService service = DenseService.acquire(options(1))) {
            byte[] frame = frame(1);
            for (int i = 0; i < 200; i++) {
                results.add(service.submit(frame));
            }
        }
        assertThat(results).allMatch(CompletableFuture::isDone);
    }

    @Test
    void aBundleThatCannotBeServedLeavesNothingBehind() {
        ServiceOptions cuda = new ServiceOptions(TestBundles.TINY, new ModelOptions("cuda:7", "auto", 0));
        assertThatThrownBy(() -> DenseService.acquire(cuda))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining("device cuda:7");
        assertThatThrownBy(() -> DenseService.acquire(new ServiceOptions(temporary, ModelOptions.AUTO)))
                .hasMessageContaining("manifest.json is missing");
    }

    @Test
    void aBundleThatIsNotLoadedInTimeIsGivenUpAndFreedWhenItComes() throws Exception {
        assertThatThrownBy(() -> DenseService.acquire(options(3), Duration.ofNanos(1)))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining("bundle tiny 1.0.0: not loaded, checked and warm within 0 s");
        TestBundles.assertNoThreadsLeft();
        assertThat(MicroBatcher.stuck()).isFalse();
        try (DenseService again = DenseService.acquire(options(3), Duration.ofMinutes(1))) {
            assertThat(again.submit(frame(0)).get().output().heads()).hasSize(3);
        }
    }

    @Test
    void aSecondModelNeedsRoom() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.TINY);
        ModelBundle.Variant variant = bundle.variants().get(0);
        long needed = Room.needed(bundle, variant, 4);

        assertThatThrownBy(() -> Room.require(bundle, variant, 4, OptionalLong.of(needed - 1)))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining("no memory for a second model");
        Room.require(bundle, variant, 4, OptionalLong.of(needed));
        Room.require(bundle, variant, 4, OptionalLong.empty());
        assertThat(Room.ofHost().orElse(1)).isPositive();
    }
}
