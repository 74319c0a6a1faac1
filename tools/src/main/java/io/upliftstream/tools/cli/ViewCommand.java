package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import io.upliftstream.model.Label;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.view.ViewServer;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift view}. */
@Command(
        name = "view",
        description = "A live page of the job's topics: every camera with its segmentation, features as colours, depth;"
                + " click a pixel to see what is like it; latency, rates, drops and failures. It only reads, and a slow"
                + " browser slows nothing. Ctrl-C ends it.",
        footer = {
            "",
            "Examples:",
            "  uplift view --config job.yaml",
            "  uplift view --bootstrap-servers broker:9092 --port 8090",
            "",
            "The page shows the 16 cameras that were seen last; ?camera=NAME in its address, as often as needed, chooses others.",
            "Class names and colours come from the bundle in uplift.model.bundle (without --config: the street bundle), or, if",
            "there is no such directory, from the records."
        })
final class ViewCommand implements Callable<Integer> {
    @Mixin
    private KafkaOption kafka = new KafkaOption();

    @Option(
            names = "--host",
            paramLabel = "ADDRESS",
            defaultValue = "127.0.0.1",
            description = "Where to listen (default: ${DEFAULT-VALUE}, this machine alone). Anyone who reaches another"
                    + " address sees the cameras: there is no log-in.")
    private String host = "127.0.0.1";

    @Option(
            names = "--port",
            paramLabel = "N",
            defaultValue = "8090",
            description = "0 for any free one (default: ${DEFAULT-VALUE}).")
    private int port = 8090;

    @Option(
            names = "--allow-host",
            paramLabel = "NAME",
            description = "One more name under which browsers may ask, such as that of a proxy; repeatable. Default:"
                    + " localhost, 127.0.0.1, [::1], --host and the address that is asked. Others are refused, since a"
                    + " page elsewhere may have its own name lead here.")
    private Set<String> hosts = new HashSet<>();

    @Option(names = "--no-browser", description = "Only print the address.")
    private boolean noBrowser;

    @Override
    public Integer call() throws Exception {
        JobSettings settings = kafka.settings();
        List<Label> labels = Files.isDirectory(settings.bundle())
                ? ModelBundle.load(settings.bundle()).labels()
                : List.of();
        try (ViewServer server = new ViewServer(settings, labels, new InetSocketAddress(host, port), hosts)) {
            System.out.println("Watching at " + server.page() + " (Ctrl-C ends)");
            if (!noBrowser) {
                server.openBrowser();
            }
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            return 0; // Ctrl-C
        }
        return 0;
    }
}
