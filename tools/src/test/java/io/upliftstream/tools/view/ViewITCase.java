package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
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
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.CameraPublisher;
import io.upliftstream.tools.stream.Schedule;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import javax.imageio.ImageIO;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.openqa.selenium.By;
import org.openqa.selenium.Dimension;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogType;

/** The page in a real browser: what is on the screen is what is in the records. */
class ViewITCase {
    private static final int WIDTH = 64;
    private static final int HEIGHT = 48;
    private static final int SCALE = 2;
    private static final int GREY = 100;
    private static final int DEAD_BROWSERS = 20;
    private static final int ROAD = 0;
    private static final int CAR = 1;
    private static final List<Label> LABELS =
            List.of(new Label(ROAD, "road", 0x804080), new Label(CAR, "car", 0x00008E));

    private static EmbeddedKafka kafka;
    private static KafkaProducer<String, byte[]> producer;
    private static ViewServer server;
    private static ChromeDriver browser;

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
        options.addArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900");
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

    private static ViewServer serve(int port) throws Exception {
        JobSettings settings = JobSettings.of(Map.of(
                InputOptions.BOOTSTRAP_SERVERS.key(),
                kafka.bootstrapServers(),
                ServingOptions.MODEL_BUNDLE.key(),
                "none"));
        return serve(settings, port);
    }

    private static ViewServer serve(JobSettings settings, int port) throws Exception {
        return new ViewServer(settings, LABELS, new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    }

    /** Sends a grey frame, road on its left half and a car on its right, and features that tell them apart. */
    private static void publish(String camera, long sequence) throws Exception {
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

    private static FeatureRecord features(RecordHeader header, String name, int channels, ByteBuffer values) {
        return FeatureRecord.newBuilder()
                .setHeader(header)
                .setName(name)
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

    private static RecordHeader header(String camera, long sequence, long offset) {
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

    private static long send(String topic, String key, SpecificRecord record) throws Exception {
        return producer.send(new ProducerRecord<>(topic, key, SingleObject.encode(record)))
                .get()
                .offset();
    }

    private static void await(String condition) {
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

    private static void awaitFrame(String camera, long sequence) {
        await("window.uplift.cameras.get('%s').moment.sequence === %d && window.uplift.cameras.get('%s').drawn === %d"
                .formatted(camera, sequence, camera, sequence));
    }

    /** Red, green and blue on the screen at a frame pixel. */
    private static List<Object> pixel(String camera, int x, int y) {
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
    private static void assertOverlaid(List<Object> pixel, int rgb) {
        for (int i = 0; i < 3; i++) {
            double expected = 0.4 * GREY + 0.6 * (rgb >> (16 - 8 * i) & 255);
            assertThat(((Number) pixel.get(i)).doubleValue()).isBetween(expected - 2, expected + 2);
        }
    }

    private static void assertGrey(List<Object> pixel) {
        for (Object channel : pixel) {
            assertThat(((Number) channel).doubleValue()).isBetween(GREY - 2.0, GREY + 2.0);
        }
    }

    @Test
    void overlayShowsTheRecordsColoursAndHidesAClassExactly() throws Exception {
        browser.get(server.page().toString());
        publish("front", 1);
        awaitFrame("front", 1);

        assertOverlaid(pixel("front", 5, 5), 0x804080);
        assertOverlaid(pixel("front", 31, 40), 0x804080);
        assertOverlaid(pixel("front", 32, 40), 0x00008E);
        assertOverlaid(pixel("front", 60, 5), 0x00008E);

        browser.findElement(By.cssSelector("#legend [data-label='1']")).click();
        assertGrey(pixel("front", 32, 40));
        assertGrey(pixel("front", 60, 5));
        assertOverlaid(pixel("front", 31, 40), 0x804080);

        browser.findElement(By.cssSelector("#legend [data-label='1']")).click();
        assertOverlaid(pixel("front", 60, 5), 0x00008E);
        assertNoErrors();
    }

    @Test
    void aPickedPixelIsMoreLikeItsOwnObject() throws Exception {
        browser.get(server.page().toString());
        publish("similar", 1);
        awaitFrame("similar", 1);

        browser.executeScript("window.uplift.choose('similar')");
        await("window.uplift.cameras.get('similar').moment.parts.some(p => p.cells && p.kind === 'features')");
        browser.executeScript("window.uplift.pick('similar', 10, 10)");
        @SuppressWarnings("unchecked") // what the script gives
        List<Number> similarity = (List<Number>)
                browser.executeScript(
                        """
                const s = window.uplift.similarities('similar');
                return [s[5 * 32 + 12], s[5 * 32 + 28]];
                """);

        assertThat(similarity.get(0).doubleValue()).isGreaterThan(0.98);
        assertThat(similarity.get(1).doubleValue()).isLessThan(0.3);
        assertNoErrors();
    }

    @Test
    void dropsAreCountedAndDepthIsTold() throws Exception {
        browser.get(server.page().toString());
        publish("counted", 1);
        awaitFrame("counted", 1);
        send(
                "dropped",
                "counted",
                FrameDropped.newBuilder()
                        .setHeader(header("counted", 2, 1000))
                        .setReason("MAX_AGE")
                        .setCount(17)
                        .setLastSequence(18)
                        .setLastOffset(1016)
                        .setAgeMillis(900)
                        .build());

        await("window.uplift.statistics.dropReasons.MAX_AGE >= 17");
        await("document.getElementById('lost').textContent.includes('dropped 17')");
        browser.executeScript("window.uplift.choose('values')");
        await("window.uplift.cameras.get('counted').moment.parts.find(p => p.kind === 'values').cells[0] === 7.5");
        assertNoErrors();
    }

    @Test
    void aLinkShowsItsFrameAndPauseHoldsIt() throws Exception {
        browser.get(server.page().toString());
        publish("linked", 1);
        awaitFrame("linked", 1);
        String link =
                String.valueOf(browser.executeScript("return document.querySelector('[data-camera=linked] a').href"));
        publish("linked", 2);
        awaitFrame("linked", 2);

        browser.get("about:blank");
        browser.get(link);
        awaitFrame("linked", 1);
        assertOverlaid(pixel("linked", 60, 5), 0x00008E);
        assertThat(browser.findElement(By.id("pause")).getText()).isEqualTo("Go on");
        assertNoErrors();
    }

    @Test
    void goesOnWhenTheServerComesBack() throws Exception {
        browser.get(server.page().toString());
        publish("back", 1);
        awaitFrame("back", 1);
        int port = server.page().getPort();
        server.close();
        await("document.getElementById('link').classList.contains('lost')");
        server = serve(port);
        await("document.getElementById('link').textContent === 'live'");
        publish("back", 2);
        awaitFrame("back", 2);
        browser.manage().logs().get(LogType.BROWSER); // the failed requests are in it
    }

    @Test
    void goesOnWhenTheBrokerComesBack() throws Exception {
        browser.get(server.page().toString());
        publish("broker", 1);
        awaitFrame("broker", 1);
        kafka.stop();
        await("document.getElementById('link').textContent.startsWith('waiting for Kafka')");
        kafka.restart();
        publish("broker", 2);
        awaitFrame("broker", 2);
        await("document.getElementById('link').textContent === 'live'");
        assertOverlaid(pixel("broker", 60, 5), 0x00008E);
        assertNoErrors();
    }

    /** A real job in live mode that gets more frames than it can take. */
    @Test
    void dropsRiseUnderOverload() throws Exception {
        List<String> options = new ArrayList<>(List.of(
                InputOptions.BOOTSTRAP_SERVERS.key() + "=" + kafka.bootstrapServers(),
                ServingOptions.MODEL_BUNDLE.key() + "=" + Path.of("..", "model", "bundles", "street"),
                ServingOptions.MODEL_PRECISION.key() + "=fp32",
                ServingOptions.MODE.key() + "=live",
                ServingOptions.MAX_AGE.key() + "=500 ms",
                ServingOptions.CHECKPOINT_INTERVAL.key() + "=1 s"));
        for (ConfigOption<String> option : List.of(
                InputOptions.INPUT_TOPIC,
                OutputOptions.SEGMENTATION_TOPIC,
                OutputOptions.FEATURES_TOPIC,
                OutputOptions.REGRESSION_TOPIC,
                OutputOptions.FAILURES_TOPIC,
                OutputOptions.DROPPED_TOPIC)) {
            String topic = "overload-" + option.defaultValue();
            kafka.createTopic(topic, 1, Map.of());
            options.add(option.key() + "=" + topic);
        }
        JobSettings settings = JobSettings.load(null, Map.of(), options);
        try (ViewServer view = serve(settings, 0);
                CameraPublisher publisher = new CameraPublisher(
                        settings,
                        List.of(new SyntheticCamera("busy", 20_600, 160, 96, 30, 0.8)),
                        new Schedule(40, Long.MAX_VALUE, null),
                        CameraPublisher.Spread.IN_TURN,
                        1 << 20,
                        (camera, sequence, shot) -> {});
                EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            EmbeddedFlink.Job job = flink.submit(env);
            job.awaitRunning();
            publisher.begin();
            browser.get(view.page().toString());
            await("(window.before = window.uplift.statistics.cameras.busy).dropped > 0");
            await("(busy => busy.dropped > window.before.dropped && busy.results > window.before.results)"
                    + "(window.uplift.statistics.cameras.busy)");
            await("/^dropped [1-9]/.test(document.getElementById('lost').textContent)");
            await("window.uplift.statistics.dropped.some(count => count > 0)");
            browser.get("about:blank");
            job.cancel();
        }
        assertNoErrors();
    }

    /** Browsers that ask and never read, each behind a socket. */
    @Test
    @Timeout(value = 3, unit = TimeUnit.MINUTES)
    void deadBrowsersCostNothing() throws Exception {
        browser.get(server.page().toString());
        publish("healthy", 1);
        awaitFrame("healthy", 1);
        List<Socket> dead = new ArrayList<>();
        try {
            for (int i = 0; i < DEAD_BROWSERS; i++) {
                dead.add(attachDead());
            }
            while (writers() < DEAD_BROWSERS) {
                Thread.sleep(20);
            }
            for (int i = 2; i <= 70; i++) { // as many moments as the server keeps, and more
                publish("healthy", i);
            }
            awaitFrame("healthy", 70);
            long before = usedHeap();
            for (int i = 71; i <= 270; i++) {
                publish("healthy", i);
            }
            awaitFrame("healthy", 270);
            // An answer has 10 KB: had each of them waited for each browser, this were 40 MB.
            assertThat(usedHeap() - before).isLessThan(16 << 20);
            assertThat(requestThreads()).isLessThan(DEAD_BROWSERS + 16);
        } finally {
            for (Socket socket : dead) {
                socket.close();
            }
        }
        assertNoErrors();
    }

    /** Asks for more answers than the sockets between here and the server can hold. */
    private static Socket attachDead() throws IOException {
        Socket socket = new Socket();
        socket.setReceiveBufferSize(4096);
        socket.connect(
                new InetSocketAddress(server.page().getHost(), server.page().getPort()));
        String ask = "GET /live?after=0&want=labels,colours,features,values HTTP/1.1\r\nHost: dead\r\n\r\n";
        socket.getOutputStream().write(ask.repeat(1000).getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private static long requestThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("view"))
                .count();
    }

    /** Threads that wait for a browser to take its answer. */
    private static long writers() {
        return Thread.getAllStackTraces().values().stream()
                .filter(stack -> Arrays.stream(stack)
                                .anyMatch(frame -> frame.getMethodName().equals("sendBytes"))
                        && Arrays.stream(stack)
                                .anyMatch(frame -> frame.getMethodName().startsWith("write")))
                .count();
    }

    private static long usedHeap() {
        System.gc();
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    @Test
    void showsSoManyCamerasAndTheOnesThatAreChosen() throws Exception {
        serveAnew();
        try {
            browser.get(server.page().toString());
            await("window.uplift.statistics.connected");
            for (int camera = 10; camera < 28; camera++) {
                publish("many-" + camera, 1);
            }
            await("document.querySelectorAll('.camera').length === 16"
                    + " && /^2 more cameras are not shown: many-26 many-27 /"
                    + ".test(document.getElementById('others').textContent)");
            browser.executeScript("window.uplift.cameras.get('many-13').seen = 0");
            publish("many-27", 2);
            awaitFrame("many-27", 2);
            await("/^2 more cameras are not shown: many-13 many-26 /"
                    + ".test(document.getElementById('others').textContent)");
            assertThat(browser.findElements(By.className("camera")))
                    .as("in the order of their names")
                    .extracting(tile -> tile.getAttribute("data-camera"))
                    .hasSize(16)
                    .isSorted();

            browser.get(browser.findElement(By.linkText("many-26")).getAttribute("href") + "&camera=many-11");
            awaitFrame("many-26", 1);
            awaitFrame("many-11", 1);
            publish("many-12", 3);
            publish("many-26", 3);
            awaitFrame("many-26", 3);
            assertThat(browser.findElements(By.className("camera"))).hasSize(2);
            await("document.getElementById('others').textContent.startsWith('16 more cameras are not shown')");
        } finally {
            serveAnew(); // the other tests' cameras shall have a place
        }
        assertNoErrors();
    }

    /** Forgets every camera. */
    private static void serveAnew() throws Exception {
        browser.get("about:blank");
        server.close();
        server = serve(0);
    }

    @Test
    void fitsAPhone() throws Exception {
        browser.manage().window().setSize(new Dimension(400, 800));
        try {
            browser.get(server.page().toString());
            publish("phone", 1);
            awaitFrame("phone", 1);
            assertThat((Boolean) browser.executeScript(
                            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
                    .isTrue();
        } finally {
            browser.manage().window().setSize(new Dimension(1280, 900));
        }
    }

    private static void assertNoErrors() {
        assertThat(browser.manage().logs().get(LogType.BROWSER).getAll().stream()
                        .filter(entry -> entry.getLevel().intValue() >= Level.SEVERE.intValue()))
                .isEmpty();
    }
}
