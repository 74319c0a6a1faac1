package io.upliftstream.tools.embedded;

import io.upliftstream.job.KafkaTopics;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.storage.Formatter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One Kafka broker (KRaft, combined controller) in this JVM, on the loopback address.
 *
 * <pre>{@code
 * try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
 *     kafka.createTopic("camera-frames", 2, Map.of());
 *     … kafka.bootstrapServers() …
 * }
 * }</pre>
 *
 * Its log lives in a temporary directory that {@link #close()} deletes. Topics are not created by writing to them.
 */
public final class EmbeddedKafka implements AutoCloseable {
    /** The largest record the broker takes, in bytes: a tensor of full resolution is well below it. */
    public static final int MAX_RECORD_BYTES = 32 << 20;

    private static final Logger LOG = LoggerFactory.getLogger(EmbeddedKafka.class);
    private static final int ATTEMPTS = 3;
    private static final long POLL_MILLIS = 10;

    private final ScratchDirectory directory;
    private final int[] ports;
    private final Map<String, String> brokerSettings;
    private final Map<String, String> clientSettings;
    private KafkaRaftServer server;

    private EmbeddedKafka(
            KafkaRaftServer server,
            ScratchDirectory directory,
            int[] ports,
            Map<String, String> brokerSettings,
            Map<String, String> clientSettings) {
        this.server = server;
        this.directory = directory;
        this.ports = ports;
        this.brokerSettings = brokerSettings;
        this.clientSettings = clientSettings;
    }

    /** Starts a broker; two seconds or so. */
    public static EmbeddedKafka start() throws IOException {
        return start(Map.of(), Map.of());
    }

    /**
     * Starts a broker on a port of the loopback address; 0 for any free one.
     *
     * @throws IOException if the port is taken
     */
    public static EmbeddedKafka start(int port) throws IOException {
        return start(port, Map.of(), Map.of());
    }

    /**
     * Starts a broker with settings of its own, such as a listener with TLS.
     *
     * @param brokerSettings win over the ones set here; the listener is called BROKER
     * @param clientSettings what a client needs to be let in
     */
    public static EmbeddedKafka start(Map<String, String> brokerSettings, Map<String, String> clientSettings)
            throws IOException {
        return start(0, brokerSettings, clientSettings);
    }

    private static EmbeddedKafka start(int port, Map<String, String> brokerSettings, Map<String, String> clientSettings)
            throws IOException {
        // The broker ends the process on a fatal fault unless told otherwise; here it is a guest.
        Exit.setExitProcedure(EmbeddedKafka::refuseExit);
        Exit.setHaltProcedure(EmbeddedKafka::refuseExit);
        for (int attempt = 1; ; attempt++) {
            try {
                return startOnce(port, brokerSettings, clientSettings);
            } catch (RuntimeException e) {
                if (isInterruption(e)) {
                    Thread.currentThread().interrupt();
                    throw new InterruptedIOException("interrupted while starting Kafka");
                }
                // The ports were free a moment ago; another process may have taken one since.
                if (attempt == ATTEMPTS) {
                    throw new IOException("embedded Kafka did not start: " + e.getMessage(), e);
                }
                LOG.warn("embedded Kafka did not start, trying other ports", e);
            }
        }
    }

    private static boolean isInterruption(Throwable failure) {
        for (Throwable each = failure; each != null; each = each.getCause()) {
            if (each instanceof InterruptedException || each instanceof InterruptException) {
                return true;
            }
        }
        return Thread.currentThread().isInterrupted();
    }

    /**
     * A broker in a process of its own, until that is ended. It goes on with what it finds in its directory.
     *
     * @param args the directory, the broker's port, the controller's port, the cluster's id, and settings as {@code
     *     key=value}, which win over the ones set here
     */
    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.Category.FORMAT, Locale.ROOT);
        Path directory = Files.createDirectories(Path.of(args[0]));
        Map<String, String> settings = Arrays.stream(args)
                .skip(4)
                .map(setting -> setting.split("=", 2))
                .collect(Collectors.toMap(setting -> setting[0], setting -> setting[1]));
        KafkaRaftServer server =
                startOnce(directory, Integer.parseInt(args[1]), Integer.parseInt(args[2]), args[3], settings);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown, "broker-end"));
        server.awaitShutdown();
    }

    private static EmbeddedKafka startOnce(
            int port, Map<String, String> brokerSettings, Map<String, String> clientSettings) throws IOException {
        int[] ports = freePorts(port);
        ScratchDirectory directory = ScratchDirectory.create("uplift-kafka");
        try {
            KafkaRaftServer server = startOnce(
                    directory.path(), ports[0], ports[1], Uuid.randomUuid().toString(), brokerSettings);
            return new EmbeddedKafka(server, directory, ports, brokerSettings, clientSettings);
        } catch (RuntimeException e) {
            directory.close();
            throw e;
        }
    }

    private static KafkaRaftServer startOnce(
            Path directory, int brokerPort, int controllerPort, String clusterId, Map<String, String> brokerSettings) {
        KafkaRaftServer server;
        try {
            Map<String, String> settings = new HashMap<>(settings(directory, brokerPort, controllerPort));
            settings.putAll(brokerSettings);
            if (Files.notExists(directory.resolve("meta.properties"))) {
                format(directory, Integer.parseInt(settings.getOrDefault("node.id", "")), clusterId);
            }
            server = new KafkaRaftServer(KafkaConfig.apply(settings, false), Time.SYSTEM);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        try {
            server.startup();
        } catch (RuntimeException e) {
            // A half-started broker leaves threads that would keep the process alive.
            server.shutdown();
            server.awaitShutdown();
            throw e;
        }
        return server;
    }

    private static void format(Path directory, int nodeId, String clusterId) throws Exception {
        Formatter formatter = new Formatter();
        formatter
                .setPrintStream(new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8))
                .setNodeId(nodeId)
                .setClusterId(clusterId)
                .setControllerListenerName("CONTROLLER")
                .setMetadataLogDirectory(directory.toString())
                .addDirectory(directory.toString());
        formatter.run();
    }

    private static Map<String, String> settings(Path directory, int brokerPort, int controllerPort) {
        return Map.ofEntries(
                Map.entry("process.roles", "broker,controller"),
                Map.entry("node.id", "1"),
                Map.entry("controller.quorum.voters", "1@127.0.0.1:" + controllerPort),
                Map.entry(
                        "listeners",
                        "BROKER://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d".formatted(brokerPort, controllerPort)),
                Map.entry("listener.security.protocol.map", "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
                Map.entry("inter.broker.listener.name", "BROKER"),
                Map.entry("controller.listener.names", "CONTROLLER"),
                Map.entry("log.dirs", directory.toString()),
                Map.entry("auto.create.topics.enable", "false"),
                Map.entry("message.max.bytes", Integer.toString(MAX_RECORD_BYTES)),
                Map.entry("offsets.topic.replication.factor", "1"),
                Map.entry("offsets.topic.num.partitions", "1"),
                Map.entry("transaction.state.log.replication.factor", "1"),
                Map.entry("transaction.state.log.min.isr", "1"),
                Map.entry("transaction.state.log.num.partitions", "4"),
                Map.entry("share.coordinator.state.topic.replication.factor", "1"),
                Map.entry("share.coordinator.state.topic.min.isr", "1"),
                Map.entry("group.initial.rebalance.delay.ms", "0"),
                // The cleaner takes 128 MB of heap unless told otherwise.
                Map.entry("log.cleaner.dedupe.buffer.size", Integer.toString(2 << 20)),
                Map.entry("log.cleaner.threads", "1"));
    }

    /** The port, if it is free, and another free one. */
    private static int[] freePorts(int port) throws IOException {
        InetAddress loopback = InetAddress.getLoopbackAddress();
        try (ServerSocket first = new ServerSocket(port, 1, loopback);
                ServerSocket second = new ServerSocket(0, 1, loopback)) {
            return new int[] {first.getLocalPort(), second.getLocalPort()};
        }
    }

    private static void refuseExit(int status, String message) {
        LOG.error("embedded Kafka wanted to end the process with status {}: {}", status, message);
        throw new IllegalStateException("embedded Kafka failed with status " + status + ": " + message);
    }

    /** Host and port that clients connect to. */
    public String bootstrapServers() {
        return "127.0.0.1:" + ports[0];
    }

    /** Where the broker listens. */
    public String listeners() {
        return "Kafka at %s and at 127.0.0.1:%d (its controller)".formatted(bootstrapServers(), ports[1]);
    }

    /** Creates a topic and returns when it can be written. */
    public void createTopic(String name, int partitions, Map<String, String> settings) throws IOException {
        try (Admin admin = admin()) {
            NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty()).configs(settings);
            admin.createTopics(List.of(topic)).all().get();
            while (!admin.listTopics().names().get().contains(name)) { // the broker hears of it from the controller
                Thread.sleep(POLL_MILLIS);
            }
            Object unused = KafkaTopics.ends(admin, name, partitions).get();
        } catch (ExecutionException e) {
            throw new IOException("topic " + name + " could not be created", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while creating topic " + name, e);
        }
    }

    /** Brokers, and what else a client is to be told. */
    public Map<String, Object> clientSettings() {
        Map<String, Object> settings = new HashMap<>(clientSettings);
        settings.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers());
        return settings;
    }

    /** A client for everything else; the caller closes it. */
    public Admin admin() {
        return Admin.create(clientSettings());
    }

    /** Stops the broker; what it holds stays for {@link #restart()}. */
    public void stop() {
        server.shutdown();
        server.awaitShutdown();
    }

    /** Starts a stopped broker again, on the same ports and with all that it held. */
    public void restart() {
        server = startOnce(directory.path(), ports[0], ports[1], "", brokerSettings);
    }

    /** Stops the broker and deletes its log. */
    @Override
    public void close() {
        // A thread that was interrupted still has to stop the broker in order.
        boolean interrupted = Thread.interrupted();
        stop();
        directory.close();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
