package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.ServingOptions;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(value = 2, unit = TimeUnit.MINUTES)
class BrokerWatchTest {
    @Test
    void aBrokerThatTakesConnectionsAndSaysNothingIsAway() throws Exception {
        try (ServerSocket hanging = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            String server = "127.0.0.1:" + hanging.getLocalPort();
            JobSettings settings = JobSettings.of(Map.of(
                    InputOptions.BOOTSTRAP_SERVERS.key(),
                    server,
                    InputOptions.KAFKA_TIMEOUT.key(),
                    "1 s",
                    ServingOptions.MODEL_BUNDLE.key(),
                    "none"));
            try (KafkaTopics topics = new KafkaTopics(settings, "")) {
                BrokerWatch watch = new BrokerWatch(settings, topics);
                Optional<String> news = watch.news();
                while (news.isEmpty()) {
                    LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
                    news = watch.news();
                }
                assertThat(news).hasValueSatisfying(sentence -> assertThat(sentence)
                        .contains("Kafka at " + server + " does not answer", "takes connections and says nothing"));
                assertThat(watch.isLost()).isTrue();
            }
        }
    }
}
