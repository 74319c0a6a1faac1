package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.tools.Listeners;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.io.StringWriter;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.security.scram.ScramLoginModule;
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

    private static EmbeddedKafka kafka;

    /** The certificate that the broker's is known by. */
    private static Path authority;

    @BeforeAll
    static void start(@TempDir Path directory) throws Exception {
        Path store = directory.resolve("store.p12");
        keytool(
                store,
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
                "SAN=IP:127.0.0.1");
        authority = directory.resolve("ca.pem");
        keytool(store, "-exportcert", "-rfc", "-alias", "broker", "-file", authority.toString());
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
                "PLAIN,SCRAM-SHA-512",
                "listener.name.broker.scram-sha-512.sasl.jaas.config",
                ScramLoginModule.class.getName() + " required;",
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

    private static void keytool(Path store, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString()));
        command.addAll(List.of(arguments));
        command.addAll(List.of("-storetype", "PKCS12", "-keystore", store.toString(), "-storepass", SECRET));
        assertThat(new ProcessBuilder(command).inheritIO().start().waitFor()).isZero();
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
                                "uplift.model.bundle=" + TinyBundle.PATH,
                                "uplift.input.stop=latest",
                                "uplift.checkpoint.interval=200 ms"))
                .toList();
    }

    @Test
    void sourceSinkAndChecksUseTheSettingsAndNobodyTellsTheSecret() throws Exception {
        sendNoFrame("camera-frames");
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

        assertThat(read("failures"))
                .as("the frame is none, and its failure record came through")
                .isEqualTo(1);
        assertThat(pages.toString()).contains("dense inference").doesNotContain(SECRET);
        assertThat(log.toString())
                .as("clients log their settings")
                .contains("ProducerConfig values", "ConsumerConfig values", "AdminClientConfig values")
                .doesNotContain(SECRET);
    }

    /** Sends a value that is no frame and becomes a failure record. */
    private static void sendNoFrame(String topic) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(kafka.clientSettings(), new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(topic, new byte[] {'c'}, new byte[] {1}))
                    .get();
        }
    }

    private static String get(HttpRequest page) throws IOException, InterruptedException {
        return HttpClient.newHttpClient().send(page, BodyHandlers.ofString()).body();
    }

    private static int read(String topic) {
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

    /** The example of docs/deploy.md, key by key, with the names of this broker. */
    @Test
    void theDocumentedExampleIsLetIn(@TempDir Path directory) throws Exception {
        try (Admin admin = kafka.admin()) {
            ScramCredentialInfo scram = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096);
            admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("uplift", scram, SECRET)))
                    .all()
                    .get();
        }
        kafka.createTopic("example-frames", 1, Map.of());
        kafka.createTopic("example-failures", 1, Map.of());
        sendNoFrame("example-frames");
        Matcher example = Pattern.compile("```yaml\n([^`]*security\\.protocol: SASL_SSL[^`]*)```")
                .matcher(Files.readString(Path.of("..", "docs", "deploy.md")));
        assertThat(example.find()).isTrue();
        Path config = Files.writeString(
                directory.resolve("job.yaml"),
                example.group(1)
                        .replace("kafka-1.example.org:9093,kafka-2.example.org:9093", kafka.bootstrapServers())
                        .replace("PASSWORD", SECRET)
                        .replace("/etc/uplift/ca.pem", authority.toString()));
        StartupITCase.Outcome outcome = StartupITCase.uplift(
                "run",
                "--config=" + config,
                "--set=uplift.model.bundle=" + TinyBundle.PATH,
                "--set=uplift.input.topic=example-frames",
                "--set=uplift.input.group-id=example",
                "--set=uplift.input.stop=latest",
                "--set=uplift.output.failures.topic=example-failures",
                "--set=uplift.transactional-id-prefix=example");
        assertThat(outcome.exitCode()).as(outcome.errors()).isZero();
        assertThat(read("example-failures")).isEqualTo(1);
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
                "uplift.model.bundle=" + TinyBundle.PATH);
        StartupITCase.assertDocumented(outcome, 3, kafka.bootstrapServers(), "no bundle");
    }
}
