package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The page's records.js, without a page. */
class RecordsScriptTest {
    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void whatIsNoAnswerIsAnErrorSoon() throws Exception {
        assumeTrue(
                nodeIsHere(),
                "no node: records.js is only tested by what a browser shows (Debian: apt-get install nodejs)");
        Process node = new ProcessBuilder(
                        "node",
                        "--max-old-space-size=256",
                        Path.of("src", "test", "javascript", "records_fuzz.mjs").toString(),
                        Path.of("src", "main", "resources", "view", "records.js")
                                .toString(),
                        System.getProperty("uplift.fuzz-seconds", "2"))
                .redirectErrorStream(true)
                .start();
        String output = new String(node.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(node.waitFor()).as(output).isZero();
        System.out.print(output);
    }

    private static boolean nodeIsHere() throws InterruptedException {
        try {
            return new ProcessBuilder("node", "--version").start().waitFor() == 0;
        } catch (IOException e) {
            return false;
        }
    }
}
