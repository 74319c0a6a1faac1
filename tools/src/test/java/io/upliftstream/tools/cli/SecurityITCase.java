package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.tools.Listeners;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.io.StringWriter;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.WriterAppender;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.layout.PatternLayout;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A broker that lets nobody in without TLS and a password. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class SecurityITCase {
    private static final String SECRET = "hush-4711";
    private static final Path TINY = Path.of("..", "model", "src", "test", "resources", "tiny");

    private static EmbeddedKafka kafka;

    @BeforeAll
    static void start(@TempDir Path directory) throws Exception {
        Path store = directory.resolve("store.p12");
        String keytool =
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        Process process = new ProcessBuilder(
                        keytool,
                        "-genkeypair",
                        "-alias",
                        "broker",
                        "-keyalg",
                        "EC",
                        "-validity",
                        "2",
                        "-dname",
                        "CN=broker",
                        "-ext",
                        "SAN=IP:127.0.0.1",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        store.toString(),
                        "-storepass",
                        SECRET)
                .inheritIO()
                .start();
        assertThat(process.waitFor()).isZero();
        Map<String, String> trust = Map.of(
                "ssl.truststore.location",
                store.toString(),
                "ssl.truststore.password",
                SECRET,
                "ssl.truststore.type",
                "PKCS12");
        Map<String, String> broker = new HashMap<>(trust);
        broker.putAll(Map.of(
                "listener.security.protocol.map",
                "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
                "sasl.enabled.mechanisms",
                "PLAIN",
                "sasl.mechanism.inter.broker.protocol",
                "PLAIN",
                "listener.name.broker.plain.sasl.jaas.config",
                jaas("broker", SECRET, " user_broker=\"" + SECRET + "\" user_uplift=\"" + SECRET + "\""),
                "ssl.keystore.location",
                store.toString(),
                "ssl.keystore.password",
                SECRET,
                "ssl.keystore.type",
                "PKCS12",
                "ssl.key.password",
                SECRET));
        Map<String, String> client = new HashMap<>(trust);
        client.putAll(Map.of(
                "security.protocol", "SASL_SSL",
                "sasl.mechanism", "PLAIN",
                "sasl.jaas.config", jaas("uplift", SECRET, "")));
        kafka = EmbeddedKafka.start(broker, client);
        for (String topic : List.of("camera-frames", "segmentation", "features", "depth", "failures", "dropped")) {
            kafka.createTopic(topic, 1, Map.of());
        }
    }

    @AfterAll
    static void stop() {
        kafka.close();
    }

    private static String jaas(String user, String password, String more) {
        return "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\"%s;"
                .formatted(user, password, more);
    }

    private static List<String> assignments() {
        Stream<String> kafkaSettings = kafka.clientSettings().entrySet().stream()
                .filter(setting -> !setting.getKey().equals("bootstrap.servers"))
                .map(setting -> "uplift.kafka.properties." + setting.getKey() + "=" + setting.getValue());
        return Stream.concat(
                        kafkaSettings,
                        Stream.of(
                                "uplift.kafka.bootstrap-servers=" + kafka.bootstrapServers(),
                                "uplift.model.bundle=" + TINY.toAbsolutePath().normalize(),
                                "uplift.input.stop=latest",
                                "uplift.checkpoint.interval=200 ms"))
                .toList();
    }

    @Test
    void sourceSinkAndChecksUseTheSettingsAndNobodyTellsTheSecret() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(kafka.clientSettings(), new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>("camera-frames", new byte[] {'c'}, new byte[] {1}))
                    .get();
        }
        JobSettings settings = JobSettings.load(null, Map.of(), assignments());
        StringWriter log = new StringWriter();
        LoggerContext context = (LoggerContext) LogManager.getContext(false);
        WriterAppender appender =
                WriterAppender.createAppender(PatternLayout.createDefaultLayout(), null, log, "secrets", false, false);
        appender.start();
        LoggerConfig root = context.getConfiguration().getRootLogger();
        Level level = root.getLevel();
        root.addAppender(appender, Level.INFO, null);
        root.setLevel(Level.INFO);
        context.updateLoggers();
        StringBuilder pages = new StringBuilder();
        try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            EmbeddedFlink.Job job = flink.submit(env);
            Listeners listeners = Listeners.of(ProcessHandle.current().pid());
            assertThat(listeners.elsewhere()).isEmpty();
            assertThat(listeners.onLoopback()).as("Kafka and Flink").hasSizeGreaterThanOrEqualTo(4);
            job.awaitEnd();
            for (String page : List.of("", "/config", "/plan", "/exceptions", "/checkpoints")) {
                pages.append(get(flink.request("/jobs/" + job.id() + page)));
            }
            pages.append(get(flink.request("/jobmanager/config")));
        } finally {
            root.removeAppender(appender.getName());
            root.setLevel(level);
            context.updateLoggers();
        }

        assertThat(records("failures"))
                .as("the frame is none, and its failure record came through")
                .isEqualTo(1);
        assertThat(pages.toString()).contains("dense inference").doesNotContain(SECRET);
        assertThat(log.toString())
                .as("clients log their settings")
                .contains("ProducerConfig values", "ConsumerConfig values", "AdminClientConfig values")
                .doesNotContain(SECRET);
    }

    private static String get(HttpRequest page) throws IOException, InterruptedException {
        return HttpClient.newHttpClient().send(page, BodyHandlers.ofString()).body();
    }

    private static int records(String topic) {
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(kafka.clientSettings(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            int count = 0;
            while (count == 0) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                count += records.count();
            }
            return count;
        }
    }

    @Test
    void aWrongPasswordIsOneSentence() throws IOException {
        List<String> wrong = new ArrayList<>(assignments());
        wrong.add("uplift.kafka.properties.sasl.jaas.config=" + jaas("uplift", "wrong-" + SECRET, ""));
        StartupITCase.Outcome outcome = StartupITCase.run(wrong.toArray(String[]::new));
        StartupITCase.assertDocumented(outcome, 3, kafka.bootstrapServers(), "no bundle");
        assertThat(outcome.errors()).doesNotContain(SECRET);
    }

    @Test
    void aClientWithoutTlsIsOneSentence() throws IOException {
        StartupITCase.Outcome outcome = StartupITCase.run(
                "uplift.kafka.bootstrap-servers=" + kafka.bootstrapServers(),
                "uplift.kafka.timeout=2 s",
                "uplift.model.bundle=" + TINY);
        StartupITCase.assertDocumented(outcome, 3, kafka.bootstrapServers(), "no bundle");
    }
}
