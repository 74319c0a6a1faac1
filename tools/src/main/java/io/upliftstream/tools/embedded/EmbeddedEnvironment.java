package io.upliftstream.tools.embedded;

import java.io.IOException;
import org.apache.flink.api.common.JobID;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterJobClient;
import org.apache.flink.runtime.minicluster.MiniClusterJobClient.JobFinalizationBehavior;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.graph.StreamGraph;

/** Submits its graphs to an embedded cluster, as Flink's Table API has an environment do. */
@SuppressWarnings("try") // its close() may be interrupted; nobody calls it
final class EmbeddedEnvironment extends StreamExecutionEnvironment {
    private final MiniCluster cluster;
    private final Submission submission;

    /** Starts the cluster, unless it runs, and a job on it. */
    @FunctionalInterface
    interface Submission {
        JobID submit(StreamGraph graph) throws IOException;
    }

    EmbeddedEnvironment(Configuration configuration, MiniCluster cluster, Submission submission) {
        super(configuration);
        this.cluster = cluster;
        this.submission = submission;
    }

    @Override
    public JobClient executeAsync(StreamGraph graph) throws Exception {
        return new MiniClusterJobClient(
                submission.submit(graph),
                cluster,
                EmbeddedEnvironment.class.getClassLoader(),
                JobFinalizationBehavior.NOTHING);
    }
}
