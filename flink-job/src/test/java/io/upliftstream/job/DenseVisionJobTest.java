package io.upliftstream.job;

import static org.assertj.core.api.Assertions.as;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.graph.StreamGraph;
import org.apache.flink.streaming.api.graph.StreamNode;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.Test;

class DenseVisionJobTest {
    @Test
    void isOneChainFromSourceToSink() {
        for (String delivery : List.of("exactly-once", "at-least-once")) {
            StreamGraph graph = graph("uplift.delivery", delivery, "uplift.parallelism", "3");

            JobGraph job = graph.getJobGraph();
            assertThat(job.getNumberOfVertices()).isEqualTo(1);
            assertThat(job.getVertices())
                    .allSatisfy(vertex -> assertThat(vertex.getParallelism()).isEqualTo(3));
        }
    }

    @Test
    void operatorsKeepTheirNamesInCheckpoints() {
        assertThat(graph().getStreamNodes())
                .extracting(node -> node.getTransformationUID())
                .contains("camera-frames", "dense-inference", "records");
    }

    @Test
    void theOperatorsClockDoesNotLeap() {
        assertThat(graph().getStreamNodes())
                .map(StreamNode::getOperatorFactory)
                .filteredOn(DenseInferenceOperator.Factory.class::isInstance)
                .extracting("clock")
                .singleElement()
                .isInstanceOf(SteadyClock.class);
    }

    @Test
    void aQueueOfAnySizeIsFetchedInWhatKafkaTakes() {
        for (String bytes : List.of("256 mb", "8 gb", "1 tb")) {
            assertThat(DenseVisionJob.source(TestFrames.settings("uplift.queue.max-bytes", bytes)))
                    .extracting("kafka.props", as(InstanceOfAssertFactories.type(Properties.class)))
                    .satisfies(
                            properties -> assertThat(ConsumerConfig.configDef().parse(properties))
                                    .containsKey(ConsumerConfig.FETCH_MAX_BYTES_CONFIG));
        }
    }

    @Test
    void checkpointsGoToFiles() {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        define(env, "uplift.checkpoint.directory", "file:///checkpoints", "uplift.checkpoint.interval", "3 s");

        assertThat(env.getConfiguration().get(CheckpointingOptions.CHECKPOINT_STORAGE))
                .isEqualTo("filesystem");
        assertThat(env.getConfiguration().get(CheckpointingOptions.CHECKPOINTS_DIRECTORY))
                .isEqualTo("file:///checkpoints");
        assertThat(env.getCheckpointConfig().getCheckpointInterval()).isEqualTo(3000);
        assertThat(env.getCheckpointConfig().getCheckpointingConsistencyMode())
                .isEqualTo(CheckpointingMode.EXACTLY_ONCE);
    }

    @Test
    void someCheckpointsMayFailUnlessTheSettingsSayOtherwise() {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        define(env);
        assertThat(env.getCheckpointConfig().getTolerableCheckpointFailureNumber())
                .isEqualTo(10);

        define(env, CheckpointingOptions.TOLERABLE_FAILURE_NUMBER.key(), "3");
        assertThat(env.getCheckpointConfig().getTolerableCheckpointFailureNumber())
                .isEqualTo(3);
    }

    @Test
    void aCheckpointThatCompletesIsYoungerThanTheTransactionsThatItCommits() {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        define(env);
        assertThat(env.getCheckpointConfig().getCheckpointTimeout()).isEqualTo(300_000);

        define(env, "uplift.kafka.properties.transaction.timeout.ms", "60000");
        assertThat(env.getCheckpointConfig().getCheckpointTimeout()).isEqualTo(20_000);

        define(env, "execution.checkpointing.timeout", "2 min");
        assertThat(env.getCheckpointConfig().getCheckpointTimeout()).isEqualTo(120_000);
    }

    @Test
    void checkpointsOutliveACancelledJobUnlessTheSettingsSayOtherwise() {
        for (var retention : ExternalizedCheckpointRetention.values()) {
            StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
            define(
                    env,
                    "uplift.checkpoint.directory",
                    "file:///checkpoints",
                    CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION.key(),
                    retention.name());
            assertThat(env.getConfiguration().get(CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION))
                    .isEqualTo(retention);
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        define(env);
        assertThat(env.getConfiguration().get(CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION))
                .isEqualTo(ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    }

    @Test
    void liveModeGoesOnFromAStateOnlyIfTold() {
        assertThat(TestFrames.settings().resumes()).isTrue();
        assertThat(TestFrames.settings("uplift.input.start", "earliest").resumes())
                .isTrue();
        assertThat(TestFrames.settings("uplift.mode", "live").resumes()).isFalse();
        assertThat(TestFrames.settings("uplift.mode", "live", "uplift.input.start", "group")
                        .resumes())
                .isTrue();
    }

    @Test
    void refusesUnknownArguments() {
        assertThatThrownBy(() -> DenseVisionJob.main(new String[] {"--live"}))
                .isInstanceOf(StartupException.class)
                .hasMessage("argument: --live (expected: --config FILE or key=value)");
    }

    @Test
    void saysThatABundleIsMissing() {
        JobSettings settings = TestFrames.settings("uplift.model.bundle", "no/such/bundle");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());

        assertThatThrownBy(() -> DenseVisionJob.definePipeline(env, settings))
                .isInstanceOfSatisfying(
                        StartupException.class, e -> assertThat(e.exitCode()).isEqualTo(3))
                .hasMessageContaining("no/such/bundle");
    }

    @Test
    void saysThatNothingListens() {
        // port 9 of this machine: discard, where nobody listens
        assertThatNoBrokerAnswers(
                "localhost:9",
                "Kafka broker: no connection to localhost:9: Connection refused"
                        + " (expected: a running broker at uplift.kafka.bootstrap-servers)");
    }

    @Test
    void saysThatNoBrokerAnswers() throws IOException {
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String server = "127.0.0.1:" + silent.getLocalPort();
            assertThatNoBrokerAnswers(
                    server,
                    "Kafka broker: no answer from " + server + " within 300 ms"
                            + " (expected: a running broker at uplift.kafka.bootstrap-servers; a slow one: a larger uplift.kafka.timeout)");
        }
    }

    private static void assertThatNoBrokerAnswers(String server, String message) {
        JobSettings settings =
                TestFrames.settings("uplift.kafka.bootstrap-servers", server, "uplift.kafka.timeout", "300 ms");

        assertThatThrownBy(() -> KafkaPreflight.check(settings, List.of()))
                .isInstanceOfSatisfying(
                        StartupException.class, e -> assertThat(e.exitCode()).isEqualTo(3))
                .hasMessage(message);
    }

    @Test
    void saysThatNobodyKnowsTheBroker() {
        JobSettings settings = TestFrames.settings("uplift.kafka.bootstrap-servers", "no.such.broker.invalid:9092");

        assertThatThrownBy(() -> KafkaPreflight.check(settings, List.of()))
                .isInstanceOfSatisfying(
                        StartupException.class, e -> assertThat(e.exitCode()).isEqualTo(3))
                .hasMessageContaining("no.such.broker.invalid:9092")
                .message()
                .hasLineCount(1);
    }

    private static StreamGraph graph(String... settings) {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        define(env, settings);
        return env.getStreamGraph();
    }

    private static void define(StreamExecutionEnvironment env, String... keysAndValues) {
        JobSettings settings = TestFrames.settings(keysAndValues);
        DenseVisionJob.definePipeline(
                env,
                DenseVisionJob.source(settings),
                DenseVisionJob.sink(settings),
                settings,
                Map.of(),
                Framing.SINGLE_OBJECT,
                FrameEngine::ofBundle);
    }
}
