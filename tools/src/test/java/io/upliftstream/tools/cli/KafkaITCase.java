package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code uplift kafka}, used by the other commands as it says, and stopped as Ctrl-C does. */
class KafkaITCase {
    private static final Pattern ADDRESS = Pattern.compile("Kafka is at 127\\.0\\.0\\.1:(\\d+),");

    private final StringWriter errors = new StringWriter();
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    private final PrintStream console = System.out;

    @BeforeEach
    void watch() {
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void stopWatching() {
        System.setOut(console);
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.MINUTES)
    void aBrokerForTheOtherCommands(@TempDir Path directory) throws Exception {
        AtomicInteger exitCode = new AtomicInteger(-1);
        Thread broker = new Thread(() -> exitCode.set(uplift("kafka", "--port=0")), "kafka");
        broker.start();
        try {
            int port = awaitPort(broker);
            String address = "--bootstrap-servers=127.0.0.1:" + port;
            assertThat(uplift("publish", "--input=synthetic", "--size=80", "--rate=max", "--limit=3", address))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift("consume", "frames", "--format=image", "--output=" + directory, address))
                    .as(errors.toString())
                    .isZero();
            assertThat(directory).isDirectoryContaining("glob:**/street_000002.jpg");
            for (String results : List.of("segmentation", "features", "depth", "failures", "dropped")) {
                assertThat(uplift("consume", results, address)).as(results).isZero();
            }
            for (InetAddress other : addresses()) {
                assertThatThrownBy(() -> new Socket(other, port).close())
                        .as("%s is not listened on", other)
                        .isInstanceOf(ConnectException.class);
            }
            assertThat(uplift("kafka", "--port=" + port)).isEqualTo(3);
            assertThat(errors.toString())
                    .contains("uplift: 127.0.0.1:" + port + ": Address already in use (expected: a port that is free");
        } finally {
            broker.interrupt();
            broker.join();
        }
        assertThat(exitCode).as(errors.toString()).hasValue(0);
    }

    @Test
    void itIsSaidWhereThereIsNoRoom(@TempDir Path directory) throws Exception {
        String nowhere = directory.resolve("nowhere").toString();

        Commands ended = Commands.run(directory, List.of("kafka", "--port=0"), "-Djava.io.tmpdir=" + nowhere);

        assertThat(ended.exitCode()).isEqualTo(3);
        assertThat(ended.output())
                .contains("uplift: Kafka broker: ", "with room for what it keeps in " + nowhere)
                .doesNotContain("a port that is free");
    }

    private int awaitPort(Thread broker) {
        Matcher found = ADDRESS.matcher("");
        while (!found.find()) {
            assertThat(broker.isAlive()).as(errors.toString()).isTrue();
            found = ADDRESS.matcher(printed.toString(StandardCharsets.UTF_8));
        }
        return Integer.parseInt(found.group(1));
    }

    /** Of this machine, as others see it. */
    private static List<InetAddress> addresses() throws IOException {
        return NetworkInterface.networkInterfaces()
                .flatMap(NetworkInterface::inetAddresses)
                .filter(address -> !address.isLoopbackAddress() && !address.isLinkLocalAddress())
                .toList();
    }

    private int uplift(String... arguments) {
        return Uplift.run(arguments, new PrintWriter(errors, true));
    }
}
