package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.imageio.ImageIO;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the viewer answers about records on real topics; no browser is needed. */
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class ViewRecordsITCase {
    private static final List<String> HEADS = List.of("depth", "edges", "features", "lanes", "segmentation");

    private static EmbeddedKafka kafka;
    private static KafkaProducer<String, byte[]> producer;
    private static final HttpClient BROWSER = HttpClient.newHttpClient();

    @BeforeAll
    static void start() throws Exception {
        kafka = EmbeddedKafka.start();
        for (String topic : List.of("camera-frames", "segmentation", "features", "depth", "failures", "dropped")) {
            kafka.createTopic(topic, 1, Map.of());
        }
        producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new StringSerializer(),
                new ByteArraySerializer());
    }

    @AfterAll
    static void stop() {
        producer.close();
        kafka.close();
    }

    private static ViewServer serve() throws Exception {
        JobSettings settings = JobSettings.of(Map.of(
                InputOptions.BOOTSTRAP_SERVERS.key(),
                kafka.bootstrapServers(),
                ServingOptions.MODEL_BUNDLE.key(),
                "none"));
        return new ViewServer(settings, List.of(), "", new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    }

    private static CompletableFuture<HttpResponse<byte[]>> ask(ViewServer server, String path) {
        return BROWSER.sendAsync(
                HttpRequest.newBuilder(server.page().resolve(path)).build(), HttpResponse.BodyHandlers.ofByteArray());
    }

    /** The head of an answer with moments. */
    private static JsonNode moments(ViewServer server, String path) throws Exception {
        byte[] body = ask(server, path).get().body();
        int length = ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN).getInt();
        return new ObjectMapper().readTree(body, Integer.BYTES, length);
    }

    private static void awaitTopics(ViewServer server) throws Exception {
        JsonNode statistics;
        do {
            statistics =
                    new ObjectMapper().readTree(ask(server, "/statistics").get().body());
        } while (!statistics.get("connected").asBoolean());
    }

    private static long send(String topic, SpecificRecord record) throws Exception {
        return producer.send(new ProducerRecord<>(topic, "gate", SingleObject.encode(record)))
                .get()
                .offset();
    }

    private static long frame() throws Exception {
        var png = new ByteArrayOutputStream();
        ImageIO.write(new BufferedImage(8, 8, BufferedImage.TYPE_INT_RGB), "png", png);
        return send(
                "camera-frames",
                CameraFrame.newBuilder()
                        .setCameraId("gate")
                        .setSequence(1)
                        .setCaptureTimeMicros(System.currentTimeMillis() * 1000)
                        .setCaptureClock(CaptureClock.PUBLISHER)
                        .setImage(ByteBuffer.wrap(png.toByteArray()))
                        .build());
    }

    /** A frame and what a model of three heads of segmentation, and two more, says about it. */
    private static long publish() throws Exception {
        long offset = frame();
        SegmentationRecord labels = Hostile.labels("gate", offset, 8, 8, new byte[] {1, 64});
        for (String head : List.of("segmentation", "lanes", "edges")) {
            send(
                    "segmentation",
                    SegmentationRecord.newBuilder(labels).setName(head).build());
        }
        send("features", Hostile.tensor("gate", offset, 8, List.of(2, 8, 8), Compression.NONE, new byte[2 * 2 * 64]));
        FeatureRecord depth = Hostile.tensor("gate", offset, 8, List.of(1, 8, 8), Compression.NONE, new byte[2 * 64]);
        send("depth", FeatureRecord.newBuilder(depth).setName("depth").build());
        return offset;
    }

    private static List<String> heads(JsonNode moment) {
        return moment.get("parts").findValuesAsText("name").stream().sorted().toList();
    }

    @Test
    void allHeadsOfATopicAreShownAndFramesAreCountedOnce() throws Exception {
        try (ViewServer server = serve()) {
            awaitTopics(server);
            long after = 0;
            List<String> heads = List.of();
            int frames = 0;
            while (!heads.equals(HEADS) && frames < 10) { // the first frames tell the viewer what there is
                publish();
                frames++;
                JsonNode head = moments(server, "/live?want=labels,colours,values&after=" + after);
                after = head.get("after").asLong();
                heads = heads(head.get("moments").get(0));
            }
            assertThat(heads).isEqualTo(HEADS);
            JsonNode statistics =
                    new ObjectMapper().readTree(ask(server, "/statistics").get().body());
            assertThat(statistics.get("cameras").get("gate").get("results").asInt())
                    .isEqualTo(frames);
        }
    }

    @Test
    void aLinkHasAllHeadsOfItsFrame() throws Exception {
        long offset = publish();
        publish();
        try (ViewServer server = serve()) {
            JsonNode head = moments(server, "/frame?want=labels,colours,values&partition=0&offset=" + offset);
            assertThat(heads(head.get("moments").get(0))).isEqualTo(HEADS);
        }
    }

    @Test
    void anImageDoesNotWaitForTheSearchForAnotherFrame() throws Exception {
        long live = publish();
        long without = frame(); // about which nothing was said: it is searched for until patience ends
        try (ViewServer server = serve()) {
            var searched = ask(server, "/frame?partition=0&offset=" + without);
            while (!searching()) {
                assertThat(searched).isNotDone();
            }
            var image = ask(server, "/image?topic=camera-frames&partition=0&offset=" + live)
                    .get();
            assertThat(searched).isNotDone();
            assertThat(image.statusCode()).isEqualTo(200);
            assertThat(ask(server, "/image?topic=other&partition=0&offset=" + live)
                            .get()
                            .statusCode())
                    .as("of a topic that is not the job's")
                    .isEqualTo(204);
        }
    }

    private static boolean searching() {
        return Thread.getAllStackTraces().values().stream()
                .flatMap(Arrays::stream)
                .anyMatch(frame -> frame.getClassName().equals(Archive.class.getName())
                        && frame.getMethodName().equals("search"));
    }
}
