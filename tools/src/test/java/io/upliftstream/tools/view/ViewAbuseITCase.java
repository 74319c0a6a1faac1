package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.SingleObject;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.openqa.selenium.By;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.logging.LogType;

/** The page in a real browser while somebody writes to the topics what no job does, or another page asks the viewer. */
@Timeout(value = 3, unit = TimeUnit.MINUTES)
class ViewAbuseITCase extends LivePage {
    private static long offset = 1_000_000;

    @BeforeEach
    void forgetTheLog() {
        browser.get("about:blank");
        browser.manage().logs().get(LogType.BROWSER);
    }

    private static void poison(String topic, SpecificRecord record) throws Exception {
        send(topic, "evil", record);
    }

    @Test
    void poisonedTopicsCostTheirOwnRecordsAlone() throws Exception {
        browser.get(server.page().toString());
        await("window.uplift.statistics.connected");
        for (String topic : List.of("segmentation", "features", "depth", "failures", "dropped")) {
            producer.send(new ProducerRecord<>(topic, "evil", null)).get();
            producer.send(new ProducerRecord<>(topic, "evil", new byte[] {1, 2, 3}))
                    .get();
        }
        poison("features", Hostile.shapeless("evil-shape", offset++));
        poison("segmentation", Hostile.endlessRun("evil-run", offset++));
        for (int i = 0; i < 4; i++) {
            poison("depth", Hostile.zeros("evil-zeros", offset++));
        }
        for (int i = 0; i < 200; i++) {
            poison("dropped", dropped("r".repeat(900) + i));
        }
        // A record with an offset that never comes keeps nothing of the camera back for long.
        poison("segmentation", Hostile.labels("honest", 1L << 50, 8, 8, new byte[] {1, 64}));
        for (int i = 1; i <= 10; i++) {
            publish("honest", i);
            Thread.sleep(500);
        }
        awaitFrame("honest", 10);
        assertOverlaid(pixel("honest", 60, 5), 0x00008E);
        await("/[1-9] not readable/.test(document.getElementById('totals').textContent)");
        await("document.getElementById('totals').textContent.includes('tensor: of 0 sizes')");
        await(
                "Object.keys(window.uplift.statistics.unreadable).some(reason => reason.includes('without the end of its length'))");
        await("Object.keys(window.uplift.statistics.dropReasons).length <= 101");
        assertNoErrors();
    }

    private static FrameDropped dropped(String reason) {
        return FrameDropped.newBuilder()
                .setHeader(Hostile.header("evil", 1, 8, 8))
                .setReason(reason)
                .setCount(1)
                .setLastSequence(1)
                .setLastOffset(1)
                .setAgeMillis(1)
                .build();
    }

    /** A camera for every frame, each with as long a name as may be. */
    @Test
    void camerasWithoutEndTakeNoMoreThanTheirShare() throws Exception {
        browser.get(server.page().toString());
        await("window.uplift.statistics.connected");
        for (int i = 0; i < 1500; i++) {
            SpecificRecord record =
                    Hostile.labels("c" + i + "-" + "y".repeat(1000), offset++, 8, 8, new byte[] {1, 64});
            var unused = producer.send(new ProducerRecord<>("segmentation", "evil", SingleObject.encode(record)));
        }
        producer.flush();
        await(
                "Object.keys(window.uplift.statistics.cameras).length === 101 && window.uplift.statistics.cameras.other.results > 1000");
        publish("last", 1);
        await("Object.values(window.uplift.statistics.cameras).reduce((n, camera) => n + camera.results, 0) > 1500");
        assertThat((Long) browser.executeScript("return document.querySelectorAll('.camera').length"))
                .isLessThanOrEqualTo(16);
        assertNoErrors();
        browser.get("about:blank");
        server.close();
        server = serve(0);
    }

    @Test
    void otherPagesAndOtherNamesGetNothing() throws Exception {
        publish("secret", 1);
        int port = server.page().getPort();
        HttpServer foreign = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        foreign.createContext("/", exchange -> {
            byte[] page = "<!doctype html><title>foreign</title>".getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "text/html");
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            exchange.close();
        });
        foreign.start();
        try {
            browser.get("http://foreign.example:" + foreign.getAddress().getPort() + "/");
            for (String viewer :
                    List.of("http://127.0.0.1:" + port, "http://localhost:" + port, "http://rebound.example:" + port)) {
                for (String path :
                        List.of("/", "/statistics", "/labels", "/live", "/records.js", "/image?partition=0&offset=0")) {
                    assertThat(fetched(viewer + path, "cors")).as(viewer + path).isEqualTo("nothing");
                    assertThat(fetched(viewer + path, "no-cors"))
                            .as(viewer + path)
                            .isEqualTo("nothing");
                }
                assertThat(loaded("img", viewer + "/image?partition=0&offset=0"))
                        .isEqualTo("error");
                assertThat(loaded("script", viewer + "/records.js")).isEqualTo("error");
                assertThat(framed(viewer + "/")).doesNotContain("app.js");
            }
            // The page that was bound to this machine's address after it had been loaded: its origin is its name.
            browser.get("http://rebound.example:" + port + "/");
            assertThat(browser.getPageSource()).doesNotContain("app.js").contains("--allow-host");
            assertThat(fetched("/statistics", "cors"))
                    .asString()
                    .contains("403")
                    .doesNotContain("secret");
            assertThat(fetched("/live", "cors")).asString().contains("403").doesNotContain("secret");
        } finally {
            foreign.stop(0);
            browser.manage().logs().get(LogType.BROWSER); // what was refused is in it
        }
    }

    /** The page itself under its own rules: no violation of its Content-Security-Policy, and all is drawn. */
    @Test
    void thePageKeepsItsOwnRules() throws Exception {
        browser.get(server.page().toString());
        publish("ruled", 1);
        awaitFrame("ruled", 1);
        assertThat(browser.manage().logs().get(LogType.BROWSER).getAll().stream()
                        .filter(entry -> entry.getLevel().intValue() >= Level.WARNING.intValue()))
                .isEmpty();
    }

    private static Object fetched(String address, String mode) {
        return browser.executeAsyncScript(
                """
                const done = arguments[arguments.length - 1];
                fetch(arguments[0], { mode: arguments[1] })
                  .then(async answer => done(answer.type === 'opaque' ? 'nothing' : `${answer.status} ${await answer.text()}`))
                  .catch(() => done('nothing'));
                """,
                address,
                mode);
    }

    private static Object loaded(String element, String address) {
        return browser.executeAsyncScript(
                """
                const done = arguments[arguments.length - 1], element = document.createElement(arguments[0]);
                element.onload = () => done('loaded');
                element.onerror = () => done('error');
                if (arguments[0] === 'script') element.type = 'text/javascript';
                element.src = arguments[1];
                document.documentElement.append(element);
                """,
                element,
                address);
    }

    /** What is in a frame of another page. */
    private static String framed(String address) {
        browser.executeAsyncScript(
                """
                const done = arguments[arguments.length - 1], frame = document.createElement('iframe');
                frame.onload = () => done();
                frame.src = arguments[0];
                document.documentElement.append(frame);
                """,
                address);
        List<WebElement> frames = browser.findElements(By.tagName("iframe"));
        browser.switchTo().frame(frames.get(frames.size() - 1));
        try {
            return browser.getPageSource();
        } finally {
            browser.switchTo().defaultContent();
        }
    }
}
