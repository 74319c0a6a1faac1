package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import javax.imageio.ImageIO;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogType;

/** A viewer, a Kafka with what it reads, and a real browser before it. */
abstract class LivePage {
    static final int WIDTH = 64;
    static final int HEIGHT = 48;
    static final int SCALE = 2;
    static final int GREY = 100;
    static final int ROAD = 0;
    static final int CAR = 1;
    static final List<Label> LABELS = List.of(new Label(ROAD, "road", 0x804080), new Label(CAR, "car", 0x00008E));

    static EmbeddedKafka kafka;
    static KafkaProducer<String, byte[]> producer;
    static ViewServer server;
    static ChromeDriver browser;

    @BeforeAll
    static void start() throws Exception {
        Path chromium = Path.of("/usr/bin/chromium");
        Path driver = Path.of("/usr/bin/chromedriver");
        assumeTrue(
                Files.exists(chromium) && Files.exists(driver),
                "no /usr/bin/chromium and /usr/bin/chromedriver: the page is not tested (Debian: apt-get install"
                        + " chromium chromium-driver)");
        kafka = EmbeddedKafka.start();
        for (String topic : List.of("camera-frames", "segmentation", "features", "depth", "failures", "dropped")) {
            kafka.createTopic(topic, 1, Map.of());
        }
        producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new StringSerializer(),
                new ByteArraySerializer());
        server = serve(0);
        var options = new ChromeOptions();
        options.setBinary(chromium.toFile());
        options.addArguments(
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1280,900",
                "--host-resolver-rules=MAP *.example 127.0.0.1");
        browser = new ChromeDriver(
                new ChromeDriverService.Builder()
                        .usingDriverExecutable(driver.toFile())
                        .build(),
                options);
        browser.manage().timeouts().scriptTimeout(Duration.ofSeconds(60));
    }

    @AfterAll
    static void stop() {
        if (browser != null) {
            browser.quit();
        }
        if (server != null) {
            server.close();
            producer.close();
            kafka.close();
        }
    }

    static ViewServer serve(int port) throws Exception {
        JobSettings settings = JobSettings.of(Map.of(
                InputOptions.BOOTSTRAP_SERVERS.key(),
                kafka.bootstrapServers(),
                ServingOptions.MODEL_BUNDLE.key(),
                "none"));
        return serve(settings, port);
    }

    static ViewServer serve(JobSettings settings, int port) throws Exception {
        return new ViewServer(settings, LABELS, "", new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    }

    /** Sends a grey frame, road on its left half and a car on its right, and features that tell them apart. */
    static void publish(String camera, long sequence) throws Exception {
        var image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
        Graphics2D pen = image.createGraphics();
        pen.setColor(new Color(GREY, GREY, GREY));
        pen.fillRect(0, 0, WIDTH, HEIGHT);
        pen.dispose();
        var png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        long offset = send(
                "camera-frames",
                camera,
                CameraFrame.newBuilder()
                        .setCameraId(camera)
                        .setSequence(sequence)
                        .setCaptureTimeMicros(System.currentTimeMillis() * 1000)
                        .setCaptureClock(CaptureClock.PUBLISHER)
                        .setImage(ByteBuffer.wrap(png.toByteArray()))
                        .build());
        RecordHeader header = header(camera, sequence, offset);
        int columns = WIDTH / SCALE;
        int rows = HEIGHT / SCALE;
        byte[] labels = new byte[columns * rows];
        ByteBuffer features =
                ByteBuffer.allocate(2 * columns * rows * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < labels.length; i++) {
            boolean car = i % columns >= columns / 2;
            labels[i] = (byte) (car ? CAR : ROAD);
            features.putFloat(i * Float.BYTES, car ? 0.1f : 2);
            features.putFloat((labels.length + i) * Float.BYTES, car ? 3 : 0.1f);
        }
        send(
                "segmentation",
                camera,
                SegmentationRecord.newBuilder()
                        .setHeader(header)
                        .setName("segmentation")
                        .setClasses(2)
                        .setMask(MaskCodec.encode(MaskEncoding.PNG, labels, columns, rows))
                        .build());
        send("features", camera, features(header, "features", 2, features));
        float[] metres = new float[labels.length];
        Arrays.fill(metres, 7.5f);
        ByteBuffer depth = ByteBuffer.allocate(metres.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        depth.asFloatBuffer().put(metres);
        send("depth", camera, features(header, "depth", 1, depth));
        producer.flush();
    }

    static FeatureRecord features(RecordHeader header, String name, int channels, ByteBuffer values) {
        return FeatureRecord.newBuilder()
                .setHeader(header)
                .setName(name)
                .setUnit(channels == 1 ? "m" : null)
                .setTensor(Tensor.newBuilder()
                        .setShape(List.of(channels, HEIGHT / SCALE, WIDTH / SCALE))
                        .setLayout(TensorLayout.CHW)
                        .setDtype(TensorType.FLOAT32)
                        .setStride(SCALE)
                        .setCompression(Compression.NONE)
                        .setData(values.rewind())
                        .build())
                .build();
    }

    static RecordHeader header(String camera, long sequence, long offset) {
        return RecordHeader.newBuilder()
                .setCameraId(camera)
                .setSequence(sequence)
                .setCaptureTimeMicros(System.currentTimeMillis() * 1000)
                .setCaptureClock(CaptureClock.PUBLISHER)
                .setSource(new SourcePosition("camera-frames", 0, offset, System.currentTimeMillis()))
                .setGeometry(new Geometry(
                        WIDTH, HEIGHT, WIDTH / SCALE, HEIGHT / SCALE, (double) SCALE, (double) SCALE, 0.0, 0.0))
                .build();
    }

    static long send(String topic, String key, SpecificRecord record) throws Exception {
        return producer.send(new ProducerRecord<>(topic, key, SingleObject.encode(record)))
                .get()
                .offset();
    }

    static void await(String condition) {
        Object met = browser.executeAsyncScript(
                """
                const done = arguments[arguments.length - 1], end = Date.now() + 50000;
                (function look() {
                  let met = false;
                  try { met = Boolean(%s); } catch { /* not there yet */ }
                  if (met || Date.now() > end) done(met); else setTimeout(look, 30);
                })();
                """
                        .formatted(condition));
        assertThat(met).as(condition).isEqualTo(true);
    }

    static void awaitFrame(String camera, long sequence) {
        await("window.uplift.cameras.get('%s').moment.sequence === %d && window.uplift.cameras.get('%s').drawn === %d"
                .formatted(camera, sequence, camera, sequence));
    }

    /** Red, green and blue on the screen at a frame pixel. */
    static List<Object> pixel(String camera, int x, int y) {
        @SuppressWarnings("unchecked") // what the script gives
        List<Object> rgb = (List<Object>) browser.executeScript(
                """
                const canvas = window.uplift.cameras.get(arguments[0]).canvas;
                return [...canvas.getContext('2d').getImageData(arguments[1], arguments[2], 1, 1).data].slice(0, 3);
                """,
                camera,
                x,
                y);
        return rgb;
    }

    /** The colour over the grey frame at the page's opacity of 0.6. */
    static void assertOverlaid(List<Object> pixel, int rgb) {
        for (int i = 0; i < 3; i++) {
            double expected = 0.4 * GREY + 0.6 * (rgb >> (16 - 8 * i) & 255);
            assertThat(((Number) pixel.get(i)).doubleValue()).isBetween(expected - 2, expected + 2);
        }
    }

    static void assertGrey(List<Object> pixel) {
        for (Object channel : pixel) {
            assertThat(((Number) channel).doubleValue()).isBetween(GREY - 2.0, GREY + 2.0);
        }
    }

    static void assertNoErrors() {
        assertThat(browser.manage().logs().get(LogType.BROWSER).getAll().stream()
                        .filter(entry -> entry.getLevel().intValue() >= Level.SEVERE.intValue()))
                .isEmpty();
    }
}
