package io.upliftstream.tools.bench;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import java.util.Arrays;
import java.util.Map;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** The job with {@link IdleEngine}s instead of a model, for a cluster of processes. */
public final class IdleJob {
    private IdleJob() {}

    /**
     * Submits the job.
     *
     * @param args the engine's service time in milliseconds, then {@code key=value …}
     */
    public static void main(String[] args) throws Exception {
        long serviceMillis = Long.parseLong(args[0]);
        JobSettings settings =
                JobSettings.load(null, Map.of(), Arrays.asList(args).subList(1, args.length));
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        DenseVisionJob.definePipeline(env, settings, (unused, subtask) -> new IdleEngine(serviceMillis));
        env.execute("uplift-bench");
    }
}
