package io.upliftstream.tools.chaos;

import io.upliftstream.tools.traffic.FrameTopics;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The copies of a run's partitions, those of Kafka's own topics included. */
final class Replicas {
    private static final long PATIENCE_SECONDS = 5;

    private final Admin admin;
    private final List<String> topics;

    Replicas(Admin admin, FrameTopics topics) {
        this.admin = admin;
        this.topics = new ArrayList<>(topics.outputs());
        this.topics.add(topics.input());
        this.topics.add("__consumer_offsets");
        this.topics.add("__transaction_state");
    }

    /** Whether every partition has a leader and as many copies in sync as it shall have; false while no broker answers. */
    boolean complete() throws InterruptedException {
        for (String topic : topics) {
            try {
                boolean whole = admin
                        .describeTopics(List.of(topic))
                        .allTopicNames()
                        .get(PATIENCE_SECONDS, TimeUnit.SECONDS)
                        .values()
                        .stream()
                        .flatMap(described -> described.partitions().stream())
                        .allMatch(partition -> partition.leader() != null
                                && partition.isr().size()
                                        == partition.replicas().size());
                if (!whole) {
                    return false;
                }
            } catch (ExecutionException e) {
                if (!(e.getCause()
                        instanceof UnknownTopicOrPartitionException)) { // in live mode there are no transactions
                    return false;
                }
            } catch (TimeoutException e) {
                return false;
            }
        }
        return true;
    }
}
