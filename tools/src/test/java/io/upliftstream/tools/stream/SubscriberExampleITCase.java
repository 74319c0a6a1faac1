package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import javax.tools.ToolProvider;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The subscriber in {@code schemas/examples}: compiled as it is there, and run against a broker. */
class SubscriberExampleITCase {
    private static final Path SCHEMAS = Path.of("..", "schemas");

    @Test
    @Timeout(value = 5, unit = TimeUnit.MINUTES)
    void readsATopicWhateverIsOnIt(@TempDir Path classes) throws Exception {
        int compiled = ToolProvider.getSystemJavaCompiler()
                .run(
                        null,
                        null,
                        null,
                        "-proc:none",
                        "-d",
                        classes.toString(),
                        SCHEMAS.resolve("examples/src/main/java/Subscriber.java")
                                .toString());
        assertThat(compiled).isZero();

        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream console = System.out;
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                URLClassLoader loader =
                        new URLClassLoader(new URL[] {classes.toUri().toURL()})) {
            kafka.createTopic("segmentation", 1, Map.of());
            try (KafkaProducer<byte[], byte[]> producer =
                    new KafkaProducer<>(kafka.clientSettings(), new ByteArraySerializer(), new ByteArraySerializer())) {
                for (byte[] value : List.of(
                        new byte[] {1},
                        Files.readAllBytes(SCHEMAS.resolve("src/test/resources/golden/segmentation-rle.avro")))) {
                    producer.send(new ProducerRecord<>("segmentation", value)).get();
                }
            }
            Method main = loader.loadClass("Subscriber").getMethod("main", String[].class);
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            AtomicReference<Throwable> end = new AtomicReference<>();
            Thread subscriber = new Thread(
                    () -> {
                        try {
                            main.invoke(null, (Object) new String[] {kafka.bootstrapServers(), "0"});
                        } catch (ReflectiveOperationException e) {
                            end.set(e);
                        }
                    },
                    "subscriber");
            subscriber.start();
            while (!printed.toString(StandardCharsets.UTF_8).contains("frame") && subscriber.isAlive()) {
                Thread.onSpinWait();
            }
            subscriber.interrupt();
            subscriber.join();
            assertThat(end.get()).hasRootCauseInstanceOf(InterruptedException.class);
        } finally {
            System.setOut(console);
        }
        // 15 of 24 x 16 pixels, as SubscriberExampleTest has it
        assertThat(printed.toString(StandardCharsets.UTF_8).lines())
                .hasSize(2)
                .first()
                .asString()
                .startsWith("offset 0: ");
        assertThat(printed.toString(StandardCharsets.UTF_8)).contains("north-gate, frame 41: 3.9 % of class 0\n");
    }
}
