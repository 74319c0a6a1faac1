package io.upliftstream.tools.cli;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.view.ViewServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.errors.InterruptException;
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
            "The page shows the 16 cameras that were seen last; ?camera=NAME in its address, as often as needed, chooses",
            "others. Class names are those in the records, since the model can be another while the job runs; the bundle in",
            "uplift.model.bundle (without --config: the street bundle) gives colours to these names."
        })
final class ViewCommand implements Callable<Integer> {
    @Mixin
    private ClaimCheckOption claimCheck = new ClaimCheckOption();

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

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        checks.require(port >= 0 && port <= 65535, "--port", port, "0 to 65535");
        checks.require(host.matches("[A-Za-z0-9.:_%-]+"), "--host", host, "an address of this machine");
        JobSettings settings = kafka.settings(claimCheck.assignments());
        Optional<ModelBundle> bundle = Files.isDirectory(settings.bundle())
                ? Optional.of(ModelBundle.load(settings.bundle()))
                : Optional.empty();
        try (KafkaTopics topics = new KafkaTopics(settings, KafkaOption.OTHER_BROKER);
                ViewServer server = serve(settings, bundle)) {
            System.out.println("Watching at " + server.page() + " (Ctrl-C ends)");
            System.out.println("Kafka: " + settings.get(InputOptions.BOOTSTRAP_SERVERS));
            waiting(topics, settings).ifPresent(System.err::println);
            if (!noBrowser) {
                server.openBrowser();
            }
            BrokerWatch broker = new BrokerWatch(settings, topics);
            while (true) {
                Uplift.throwIfStopped();
                TimeUnit.SECONDS.sleep(1);
                broker.news().ifPresent(System.err::println);
            }
        } catch (InterruptedException | InterruptException e) {
            return 0; // Ctrl-C
        }
    }

    private ViewServer serve(JobSettings settings, Optional<ModelBundle> bundle) {
        try {
            return new ViewServer(
                    settings,
                    bundle.map(ModelBundle::labels).orElse(List.of()),
                    bundle.map(ModelBundle::sha256).orElse(""),
                    new InetSocketAddress(host, port),
                    hosts);
        } catch (IOException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
    }

    /** What the page waits for, since broker and topics may come later. */
    private static Optional<String> waiting(KafkaTopics topics, JobSettings settings) {
        try {
            Set<String> names = new OutputTopics(settings).names();
            return names.stream().anyMatch(topics::hasTopic)
                    ? Optional.empty()
                    : Optional.of("Waiting for a job: none of its topics is there yet (%s)"
                            .formatted(String.join(", ", names)));
        } catch (StartupException e) {
            return Optional.of("Waiting, and trying again: " + e.getMessage());
        }
    }
}
