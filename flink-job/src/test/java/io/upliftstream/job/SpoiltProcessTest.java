package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.DenseService;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SpoiltProcessTest extends OperatorTest {
    private final List<Integer> exits = new ArrayList<>();

    /** As a class that was loaded while memory was short. */
    private static final class ShortOfMemory {
        static {
            fail();
        }

        private static void fail() {
            throw new OutOfMemoryError("Metaspace");
        }

        static void use() {}
    }

    @BeforeEach
    void record() {
        SpoiltProcess.exit = exits::add;
    }

    @AfterEach
    void reset() {
        SpoiltProcess.exit = DenseService::exit;
    }

    /** The first failure may pass; from the second on each restart would meet it again. */
    @Test
    void aClassThatNeverInitialisesEndsTheProcess() throws Exception {
        Throwable first = failureOf(ShortOfMemory::use);
        assertThat(first).isInstanceOf(OutOfMemoryError.class);
        Throwable second = failureOf(ShortOfMemory::use);
        assertThat(second).isInstanceOf(NoClassDefFoundError.class);

        var harness = open();
        process(harness, TestFrames.cameraFrame("north", 1));
        engine.fail(0, first);
        assertThatThrownBy(() -> harness.prepareSnapshotPreBarrier(1)).hasRootCause(first);
        assertThat(exits).isEmpty();

        var again = open();
        process(again, TestFrames.cameraFrame("north", 1));
        engine.fail(1, second);
        assertThatThrownBy(() -> again.prepareSnapshotPreBarrier(1)).hasCauseInstanceOf(NoClassDefFoundError.class);
        assertThat(exits).containsExactly(DenseService.HANGING);
    }

    /** Found by {@code uplift chaos} with little metaspace: the job restarted for ever, one of its classes spoilt. */
    @Test
    void whereverAStartFails() throws Exception {
        var spoilt = new NoClassDefFoundError("Could not initialize class io.upliftstream.job.BundleStore");
        TopicLimits failing = again -> {
            throw spoilt;
        };
        var control = (ModelControl) Proxy.newProxyInstance(
                ModelControl.class.getClassLoader(),
                new Class<?>[] {ModelControl.class},
                (proxy, method, arguments) -> {
                    throw spoilt;
                });
        assertThatThrownBy(() -> start(failing, null)).isSameAs(spoilt);
        assertThat(exits).as("opened").hasSize(1);
        assertThatThrownBy(() -> start(again -> Map.of(), control)).isSameAs(spoilt);
        assertThat(exits).as("given its state").containsExactly(DenseService.HANGING, DenseService.HANGING);
    }

    private void start(TopicLimits limits, @Nullable ModelControl control) throws Exception {
        var harness = new OneInputStreamOperatorTestHarness<>(new DenseInferenceOperator.Factory(
                TestFrames.settings(),
                limits,
                Framing.SINGLE_OBJECT,
                (settings, task) -> engine,
                clock,
                control,
                KafkaPackets::new));
        opened.add(harness.getEnvironment());
        harness.open();
    }

    @Test
    void aClassThatIsNotThereEndsNothing() {
        SpoiltProcess.endIfSpoilt(new IllegalStateException(new NoClassDefFoundError("org/example/Missing")));
        assertThat(exits).isEmpty();
    }

    private static Throwable failureOf(Runnable use) {
        try {
            use.run();
        } catch (Throwable e) {
            return e;
        }
        throw new AssertionError("nothing failed");
    }
}
