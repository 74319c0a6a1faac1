package io.upliftstream.tools.claim;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.cli.Commands;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A command's bundle in an object store, which is there or away. */
@Tag("servers")
@Timeout(value = 15, unit = TimeUnit.MINUTES)
class ModelFromS3ITCase {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void isFetchedCheckedAndServed() throws Exception {
        Path bundle = TinyBundle.copy(directory, "2");
        try (ObjectStore store = new ObjectStore(directory);
                FaultyDoor door = new FaultyDoor(store.port());
                EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "s3-model", 1, 1 << 20);
            kafka.createTopic("s3-control", 1, Map.of());
            kafka.createTopic("s3-answers", 1, Map.of());
            List<String> settings = new ArrayList<>(topics.assignments(
                    "uplift.model.bundle=" + TinyBundle.PATH,
                    "uplift.input.stop=never",
                    "uplift.control.topic=s3-control",
                    "uplift.control.answers=s3-answers",
                    "uplift.control.load-timeout=20 s",
                    "uplift.control.bundles.allowed=s3://bucket",
                    "uplift.control.cache.directory=" + directory.resolve("cache")));
            store.settings(door.port()).stream()
                    .filter(setting -> setting.startsWith("s3."))
                    .forEach(settings::add);
            try (Stream<Path> files = Files.walk(bundle)) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    store.overwrite("models/2/" + bundle.relativize(file), Files.readAllBytes(file));
                }
            }
            Path output = directory.resolve("run.log");
            Process run = Commands.start(directory, output, Commands.env(store.environment()), uplift(settings, "run"));
            try {
                topics.send(
                        0,
                        "north",
                        SingleObject.encode(
                                Topics.frame("north", 0, TinyBundle.image(1)).build()));
                while (topics.read("segmentation", "read_committed", SegmentationRecord.class)
                        .isEmpty()) { // commands from before its start are not the job's
                    assertThat(run.waitFor(100, TimeUnit.MILLISECONDS))
                            .as(Files.readString(output))
                            .isFalse();
                }
                String[] activate = {
                    "model",
                    "activate",
                    "s3://bucket/claims/models/2",
                    "--sha256",
                    ModelBundle.load(bundle).sha256()
                };
                door.answer = FaultyDoor.SILENT;
                Commands refused = Commands.run(uplift(settings, activate));
                assertThat(refused.exitCode()).as(refused.output()).isEqualTo(1);
                assertThat(refused.output())
                        .contains(
                                "refused: bundle: not fetched within 20 s (expected: in time,",
                                "still serving tiny 1.0.0");

                door.answer = FaultyDoor.OPEN;
                Commands activated = Commands.run(uplift(settings, activate));
                assertThat(activated.exitCode()).as(activated.output()).isZero();
                assertThat(activated.output()).contains("activated tiny 2, sha256 ");
            } finally {
                run.destroyForcibly();
            }
        }
    }

    private static List<String> uplift(List<String> settings, String... command) {
        List<String> arguments = new ArrayList<>(List.of(command));
        settings.forEach(setting -> arguments.addAll(List.of("--set", setting)));
        return arguments;
    }
}
