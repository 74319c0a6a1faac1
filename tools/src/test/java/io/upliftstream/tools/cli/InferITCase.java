package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.SyntheticCamera;
import java.awt.image.BufferedImage;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Commands that need the bundle but no Kafka. */
class InferITCase {
    private final StringWriter errors = new StringWriter();

    private int uplift(String... arguments) {
        return Uplift.run(arguments, new PrintWriter(errors, true));
    }

    @Test
    void writesPicturesAndArraysNamedAfterTheInput(@TempDir Path directory) throws Exception {
        Path input = Files.createDirectory(directory.resolve("in"));
        Path output = directory.resolve("out");
        Files.write(input.resolve("street.jpg"), street());
        Files.write(input.resolve("broken.png"), new byte[] {1, 2, 3});
        Path elsewhere = Files.writeString(directory.resolve("elsewhere"), "mine");
        Files.createDirectory(output);
        for (String link : List.of("legend.png", "street.overlay.png", "street.depth.npy")) {
            Files.createSymbolicLink(output.resolve(link), elsewhere);
        }

        int exitCode = uplift(
                "infer", "--bundle=" + Topics.BUNDLE, "--precision=fp32", "--input=" + input, "--output=" + output);

        assertThat(exitCode).as("one of the two failed").isEqualTo(1);
        assertThat(elsewhere).as("what links led to").hasContent("mine");
        try (Stream<Path> files = Files.list(output)) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .containsExactlyInAnyOrder(
                            "legend.png",
                            "street.overlay.png",
                            "street.labels.png",
                            "street.features.npy",
                            "street.depth.npy");
        }
        BufferedImage labels = ImageIO.read(output.resolve("street.labels.png").toFile());
        assertThat(List.of(labels.getWidth(), labels.getHeight())).containsExactly(240, 100);
        assertThat(labels.getType()).isEqualTo(BufferedImage.TYPE_BYTE_GRAY);
        for (int y = 0; y < labels.getHeight(); y++) {
            for (int x = 0; x < labels.getWidth(); x++) {
                assertThat(labels.getRaster().getSample(x, y, 0)).isLessThan(19);
            }
        }
        byte[] features = Files.readAllBytes(output.resolve("street.features.npy"));
        assertThat(new String(features, 0, 128, StandardCharsets.ISO_8859_1))
                .contains("'descr': '<f2'")
                .contains("'shape': (32, 48, 80,)");
        assertThat(features).hasSize(128 + 2 * 32 * 48 * 80);
    }

    @Test
    void anImageAtWhichTheModelHangsFailsAndTheProcessEndsInOrder(@TempDir Path directory) throws Exception {
        Path input = Files.createDirectory(directory.resolve("in"));
        Files.write(input.resolve("a.png"), TinyBundle.image(1));
        Files.write(input.resolve("b.png"), TinyBundle.image(ModelTroubleITCase.HANGS));
        Files.write(input.resolve("c.png"), TinyBundle.image(2));
        Path output = directory.resolve("out");

        Commands ended = Commands.run(
                directory,
                List.of(
                        "infer",
                        "--bundle=" + TinyBundle.PATH,
                        "--timeout=3",
                        "--input=" + input,
                        "--output=" + output));

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(1);
        assertThat(ended.output())
                .contains("b: TIMEOUT: the model gave no answer within 3000 ms")
                .contains("2 done, 1 failed");
    }

    @Test
    void aMachineWithoutFontsHasPicturesWithoutWords(@TempDir Path directory) throws Exception {
        Path fonts = Files.writeString(directory.resolve("fonts.conf"), "<fontconfig></fontconfig>");
        Path input = Files.write(directory.resolve("a.jpg"), street());
        Path output = directory.resolve("out");
        Path printed = directory.resolve("printed");
        Process process = Commands.start(
                directory,
                printed,
                List.of("env", "FONTCONFIG_FILE=" + fonts),
                List.of("infer", "--bundle=" + Topics.BUNDLE, "--input=" + input, "--output=" + output),
                "-Duser.home=" + directory); // where Java keeps what it knows of fonts
        assertThat(process.waitFor()).as(Files.readString(printed)).isZero();
        assertThat(output.resolve("legend.png")).isNotEmptyFile();
    }

    @Test
    void showAndVerifyOfTheShippedBundle() {
        assertThat(uplift("model", "show", Topics.BUNDLE.toString()))
                .as(errors.toString())
                .isZero();
        assertThat(uplift("model", "verify", Topics.BUNDLE.toString()))
                .as(errors.toString())
                .isZero();
    }

    private static byte[] street() {
        try (SyntheticCamera camera = new SyntheticCamera("street", 20_400, 240, 100, 10, 0.9)) {
            return camera.next().image();
        }
    }
}
