package io.upliftstream.tools.chaos;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.shaded.curator5.org.apache.curator.framework.CuratorFramework;
import org.apache.flink.shaded.curator5.org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.flink.shaded.curator5.org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.flink.shaded.curator5.org.apache.curator.framework.state.ConnectionState;
import org.apache.flink.shaded.curator5.org.apache.curator.retry.RetryNTimes;
import org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ServerCnxnFactory;
import org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What the cluster's JobManagers rely on: the leader election of the Curator that is on the class path. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class LeadershipTest {
    private static final String PATH = "/leader";
    private static final int TICK_MILLIS = 1000;
    private static final int SESSION_MILLIS = 6 * TICK_MILLIS;
    private static final long POLL_MILLIS = 20;

    @TempDir
    private Path directory;

    private int port;

    /** Before Curator 5.7 the leader led again by a node of its old session, and went on when that was gone. */
    @Test
    void oneLeadsAfterZooKeeperWasAwayForLongerThanASession() throws Exception {
        ServerCnxnFactory server = zooKeeper();
        try (CuratorFramework first = client();
                CuratorFramework second = client();
                LeaderLatch one = new LeaderLatch(first, PATH, "one");
                LeaderLatch two = new LeaderLatch(second, PATH, "two")) {
            one.start();
            one.await();
            two.start();
            await(() -> first.getChildren().forPath(PATH).size() == 2);
            List<String> old = first.getChildren().forPath(PATH);

            CountDownLatch lost = new CountDownLatch(2);
            Stream.of(first, second)
                    .forEach(client -> client.getConnectionStateListenable().addListener((unused, state) -> {
                        if (state == ConnectionState.LOST) {
                            lost.countDown();
                        }
                    }));
            server.shutdown();
            lost.await();
            server = zooKeeper(); // which gives the old sessions as long as they had

            await(() -> Collections.disjoint(old, first.getChildren().forPath(PATH)));
            // The participant whose node comes first leads, and no other.
            await(() -> one.hasLeadership() != two.hasLeadership()
                    && one.getLeader().getId().equals(one.hasLeadership() ? "one" : "two"));
        } finally {
            server.shutdown();
        }
    }

    private ServerCnxnFactory zooKeeper() throws Exception {
        ServerCnxnFactory factory = new NIOServerCnxnFactory();
        factory.configure(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 10);
        factory.startup(new ZooKeeperServer(
                directory.resolve("data").toFile(), directory.resolve("log").toFile(), TICK_MILLIS));
        port = factory.getLocalPort();
        return factory;
    }

    private CuratorFramework client() {
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                "127.0.0.1:" + port, SESSION_MILLIS, SESSION_MILLIS, new RetryNTimes(10, 500));
        client.start();
        return client;
    }

    private static void await(Callable<Boolean> condition) throws Exception {
        while (!condition.call()) {
            Thread.sleep(POLL_MILLIS);
        }
    }
}
