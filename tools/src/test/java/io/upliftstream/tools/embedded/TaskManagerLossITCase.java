package io.upliftstream.tools.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Flink ends a TaskManager in which closing a failed task fails, as Kafka's sink does while its broker is silent. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class TaskManagerLossITCase {
    private static final int LOSSES = 2;
    private static final long RECORDS = 100;

    @Test
    void aJobGoesOnInAnotherTaskManager() throws Exception {
        Configuration configuration = new Configuration();
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "fixed-delay");
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, Integer.MAX_VALUE);
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ofMillis(100));
        try (EmbeddedFlink flink = new EmbeddedFlink(configuration, 1)) {
            StreamExecutionEnvironment env = flink.environment();
            env.setParallelism(1);
            env.fromSequence(1, RECORDS).map(new FailsAndCannotBeClosed()).sinkTo(new DiscardingSink<>());
            EmbeddedFlink.Job job = flink.submit(env);

            assertThat(job.awaitEnd(Duration.ofMinutes(3)))
                    .as("the job came to its end")
                    .isTrue();
            assertThat(job.totals()).containsEntry("records", RECORDS);
            assertThat(job.failedTaskManagers()).isEqualTo(LOSSES);
        }
    }

    /** In as many TaskManagers as are to be lost. */
    private static final class FailsAndCannotBeClosed extends RichMapFunction<Long, Long> {
        private static int lost; // every TaskManager is in this JVM

        private final LongCounter records = new LongCounter();

        @Override
        public void open(OpenContext context) {
            getRuntimeContext().addAccumulator("records", records);
        }

        @Override
        public Long map(Long record) {
            if (lost < LOSSES && record == RECORDS / 2) {
                throw new IllegalStateException("a task that fails");
            }
            records.add(1);
            return record;
        }

        @Override
        public void close() {
            if (lost < LOSSES) {
                lost++;
                throw new IllegalStateException("a task that cannot be closed");
            }
        }
    }
}
