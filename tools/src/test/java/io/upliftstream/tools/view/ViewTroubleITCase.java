package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.stream.CameraPublisher;
import io.upliftstream.tools.stream.Schedule;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.openqa.selenium.logging.LogType;

/** The page in a real browser when servers go away, frames come too fast, and other browsers never read. */
class ViewTroubleITCase extends LivePage {
    private static final int DEAD_BROWSERS = 20;

    @Test
    void goesOnWhenTheServerComesBack() throws Exception {
        browser.get(server.page().toString());
        publish("back", 1);
        awaitFrame("back", 1);
        int port = server.page().getPort();
        server.close();
        await("document.getElementById('link').classList.contains('lost')");
        browser.executeScript("window.uplift.statistics = null");
        server = serve(port);
        await("window.uplift.statistics.connected && document.getElementById('link').textContent === 'live'");
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
        browser.manage().logs().get(LogType.BROWSER); // what was asked for while Kafka was away failed
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
                        false,
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
            await("/^[0-9.]*[1-9]/.test(document.getElementById('lost').textContent)");
            await("/ [1-9][0-9]* dropped \\(/.test(document.getElementById('totals').textContent)");
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
        String ask = "GET /live?after=0&want=labels,colours,features,values HTTP/1.1\r\nHost: localhost\r\n\r\n";
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
                        .anyMatch(frame -> frame.getClassName().equals(Answer.class.getName())
                                && frame.getMethodName().equals("write")))
                .count();
    }

    private static long usedHeap() {
        System.gc();
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }
}
