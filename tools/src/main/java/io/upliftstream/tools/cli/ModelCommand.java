package io.upliftstream.tools.cli;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.DenseModel;
import io.upliftstream.model.GoldenReport;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelBundle.Upsampler;
import io.upliftstream.model.ModelOptions;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code uplift model}. */
@Command(
        name = "model",
        description = "Looks at a model bundle.",
        footer = {
            "",
            "Examples:",
            "  uplift model show model/bundles/street",
            "  uplift model verify model/bundles/street"
        })
final class ModelCommand {

    @Command(
            name = "show",
            description = "Says what is in a bundle, checks every file's SHA-256, and says which variant runs here.")
    int show(@Parameters(paramLabel = "BUNDLE", description = "Directory of the bundle.") Path directory)
            throws BundleException {
        ModelBundle bundle = ModelBundle.load(directory);
        System.out.printf("%s: %s%n", bundle, bundle.description());
        print("license", bundle.license());
        print("sha256", bundle.sha256() + " (manifest; every file matches its own)");
        print(
                "input",
                "%d x %d pixels, %s, at most %d at a time"
                        .formatted(
                                bundle.input().width(),
                                bundle.input().height(),
                                bundle.input().fit().name().toLowerCase(Locale.ROOT),
                                bundle.input().maxBatch()));
        print(
                "backbone",
                "%s, patch %d, %d channels"
                        .formatted(
                                bundle.backbone().kind(),
                                bundle.backbone().patch(),
                                bundle.backbone().channels()));
        Upsampler upsampler = bundle.upsampler();
        print(
                "upsampler",
                upsampler.steps() == 0
                        ? upsampler.kind()
                        : "UPLiFT, %d steps, %d neighbours".formatted(upsampler.steps(), upsampler.neighbours()));
        for (HeadSpec head : bundle.heads()) {
            print("head " + head.name(), describe(head));
        }
        if (!bundle.labels().isEmpty()) {
            print(
                    "labels",
                    bundle.labels().stream()
                            .map(label -> label.id() + " " + label.name())
                            .collect(Collectors.joining(", ")));
        }
        print(
                "variants",
                bundle.variants().stream().map(ModelBundle.Variant::name).collect(Collectors.joining(", ")));
        try (DenseModel model = DenseModel.load(bundle, ModelOptions.AUTO)) {
            print("here", model.describe());
        }
        return 0;
    }

    private static String describe(HeadSpec head) {
        return "%s, %d %s at %d x %d (stride %d), %s%s%s"
                .formatted(
                        head.kind().name().toLowerCase(Locale.ROOT),
                        head.channels(),
                        head.kind() == HeadKind.SEGMENTATION ? "classes" : "channels",
                        head.width(),
                        head.height(),
                        head.stride(),
                        head.dtype().name().toLowerCase(Locale.ROOT),
                        head.unit() == null ? "" : ", in " + head.unit(),
                        head.confidence() ? ", with confidence" : "");
    }

    private static void print(String what, String value) {
        System.out.printf("  %-18s %s%n", what, value);
    }

    @Command(
            name = "verify",
            description = "Runs the bundle's golden case with every variant that this machine can run and compares with"
                    + " the outputs computed when it was exported. Exit code 1 if one disagrees.")
    int verify(@Parameters(paramLabel = "BUNDLE", description = "Directory of the bundle.") Path directory)
            throws BundleException, InterruptedException {
        ModelBundle bundle = ModelBundle.load(directory);
        System.out.printf("%s, sha256 %s: every file matches its hash%n", bundle, bundle.sha256());
        int ran = 0;
        boolean agree = true;
        for (ModelBundle.Variant variant : bundle.variants()) {
            Uplift.throwIfStopped();
            try (DenseModel model =
                    DenseModel.load(bundle, new ModelOptions(variant.device(), variant.precision(), 0))) {
                GoldenReport report = model.verify();
                System.out.printf("%s: %s%n", report.passed() ? "agrees" : "DISAGREES", report);
                agree &= report.passed();
                ran++;
            } catch (BundleException e) {
                boolean absent = String.valueOf(e.getMessage()).startsWith("device ");
                System.out.printf("%s: %s: %s%n", absent ? "not run" : "FAILS", variant.name(), e.getMessage());
                agree &= absent;
            }
        }
        if (ran == 0) {
            throw new BundleException("bundle " + directory + ": none of its variants runs on this machine");
        }
        return agree ? 0 : 1;
    }
}
