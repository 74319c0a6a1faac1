package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.SegmentationRecord;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.openqa.selenium.By;
import org.openqa.selenium.Dimension;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.interactions.Actions;

/** The page in a real browser: what is on the screen is what is in the records. */
class ViewITCase extends LivePage {
    /** An offset of no frame: what is said about it is shown on black. */
    private static final long NOWHERE = 1_000_000;

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
        await("/ 17 dropped \\(MAX_AGE: 17\\) /.test(document.getElementById('totals').textContent)");
        browser.executeScript("window.uplift.choose('values')");
        await("window.uplift.cameras.get('counted').moment.parts.find(p => p.kind === 'values').cells[0] === 7.5");
        assertNoErrors();
    }

    @Test
    void theAddressKeepsViewOpacityAndCameras() throws Exception {
        browser.get(server.page() + "?camera=kept&view=depth&opacity=25");
        publish("kept", 1);
        awaitFrame("kept", 1);
        assertThat(browser.executeScript("return [uplift.view, uplift.opacity, uplift.chosen.join()].join()"))
                .isEqualTo("values,0.25,kept");
        await("/^far, 7.5 m.*near, 7.5 m$/.test(document.getElementById('legend').textContent)");
        browser.findElement(By.cssSelector("[data-view=colours]")).click();
        await("location.search === '?camera=kept&view=features&opacity=25'"
                + " && document.getElementById('legend').textContent.includes('principal components')");
        browser.findElement(By.cssSelector("[data-view=labels]")).click();
        browser.executeScript("document.activeElement.blur()");
        new Actions(browser).sendKeys("+").perform();
        await("location.search === '?camera=kept&opacity=35'"
                + " && document.getElementById('legend').textContent === 'roadcar'");
        browser.get(server.page() + "?camera=never-sent");
        await("/^No result of never-sent .*there are .*kept/.test(document.getElementById('absent').textContent)");
        assertNoErrors();
    }

    /** Models are switched while the job runs: one names its classes otherwise, another one not at all. */
    @Test
    void recordsOfAnotherModelHaveTheirOwnNames() throws Exception {
        browser.get(server.page() + "?camera=switched&camera=steady");
        SegmentationRecord record = Hostile.labels("switched", NOWHERE, 64, 48, new byte[] {0, -128, 12, 1, -128, 12});
        publish("steady", 1);
        awaitFrame("steady", 1);
        await("document.getElementById('legend').textContent === 'roadcar'");
        send(
                "segmentation",
                "switched",
                SegmentationRecord.newBuilder(record)
                        .setClasses(2)
                        .setClassNames(List.of("car", "tree"))
                        .build());
        awaitFrame("switched", NOWHERE);
        await("document.getElementById('legend').textContent === 'roadcarcartree'");
        assertThat(pixel("switched", 5, 5)).as("a car, on black").isEqualTo(List.of(0L, 0L, 85L));
        browser.findElements(By.cssSelector("#legend [data-label='0']")).get(1).click();
        assertThat(pixel("switched", 5, 5)).as("hidden").isEqualTo(List.of(0L, 0L, 0L));
        assertOverlaid(pixel("steady", 5, 5), 0x804080);
        new Actions(browser)
                .moveToElement(browser.findElement(By.cssSelector("[data-camera=switched] canvas")), 0, 20)
                .perform();
        await("document.querySelector('[data-camera=switched] .under').textContent === 'tree'");
        assertNoErrors();
    }

    @Test
    void aModelsHeadsAreChosenByName() throws Exception {
        browser.get(server.page() + "?camera=heads");
        await("window.uplift.statistics.connected && document.getElementById('head').hidden");
        for (String head : List.of("segmentation", "lanes")) {
            int label = head.equals("lanes") ? ROAD : CAR;
            SegmentationRecord record = Hostile.labels("heads", NOWHERE, 64, 48, new byte[] {(byte) label, -128, 24});
            send(
                    "segmentation",
                    "heads",
                    SegmentationRecord.newBuilder(record).setName(head).build());
        }
        awaitFrame("heads", NOWHERE);
        await("[...document.getElementById('head').options].map(o => o.value).join() === 'lanes,segmentation'"
                + " && !document.getElementById('head').hidden");
        assertThat(pixel("heads", 5, 5)).as("road").isEqualTo(List.of(77L, 38L, 77L));
        browser.findElement(By.cssSelector("#head option:last-child")).click();
        await("location.search === '?camera=heads&head=segmentation'");
        assertThat(pixel("heads", 5, 5)).as("car").isEqualTo(List.of(0L, 0L, 85L));
        assertNoErrors();
    }

    @Test
    void aClickInFullScreenHitsThePixelUnderIt() throws Exception {
        browser.get(server.page() + "?camera=full&view=similarity");
        publish("full", 1);
        awaitFrame("full", 1);
        new Actions(browser).sendKeys("f").perform();
        await("document.fullscreenElement");
        WebElement canvas = browser.findElement(By.cssSelector("[data-camera=full] canvas"));
        Dimension box = canvas.getSize();
        double scale = (double) box.height / HEIGHT;
        assertThat(box.width).as("bands beside the picture").isGreaterThan((int) (1.1 * scale * WIDTH));
        new Actions(browser)
                .moveToElement(canvas, box.width / 4, box.height / 4)
                .click()
                .perform();
        await("Math.abs(uplift.query.at[0] - %s) < 0.5 && Math.abs(uplift.query.at[1] - 36) < 0.5"
                .formatted(0.5 * WIDTH + 0.25 * box.width / scale));
        new Actions(browser).sendKeys("f").perform();
        await("!document.fullscreenElement");
        assertNoErrors();
    }

    @Test
    void aQuietCameraIsMarkedAndCaptionsAreOfOneHeight() throws Exception {
        String broker = "Kafka at " + kafka.bootstrapServers();
        String longName = "a-name-that-is-longer-than-a-tile-is-wide-".repeat(4);
        browser.get(server.page() + "?camera=quiet&camera=" + longName);
        publish("quiet", 1);
        publish(longName, 1);
        awaitFrame("quiet", 1);
        awaitFrame(longName, 1);
        await("document.getElementById('broker').textContent === '" + broker + "'");
        await("new Set([...document.querySelectorAll('#cameras figcaption')].map(c => c.offsetHeight)).size === 1");
        assertThat((Boolean) browser.executeScript("return document.querySelector('.quiet') === null"))
                .isTrue();
        browser.executeScript("uplift.cameras.get('quiet').seen -= 11000");
        await("/^no result for 1[1-9] s, the last was frame 1$/"
                + ".test(document.querySelector('.quiet[data-camera=quiet] .numbers').textContent)");
        publish("quiet", 2);
        awaitFrame("quiet", 2);
        await("document.querySelector('[data-camera=quiet].quiet') === null");
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
}
