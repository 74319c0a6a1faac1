package io.upliftstream.tools.demo;

import static java.util.Objects.requireNonNull;

import io.upliftstream.model.Label;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.ContactSheet;
import io.upliftstream.tools.picture.DepthColours;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.picture.Overlay;
import io.upliftstream.tools.picture.PrincipalColours;
import io.upliftstream.tools.stream.FileNames;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Keeps the records of some frames, spread evenly over the run however long it is, and draws them at the end. */
final class Album {
    /** Where the images of frames are read back from. */
    interface FrameImages {
        /** The image of the frame at a position, if it is there still. */
        Optional<byte[]> read(SourcePosition position);
    }

    private static final int MAX_PAGES = 24;
    private static final int MAX_ROWS = 8;

    private record Key(long sequence, String camera) implements Comparable<Key> {
        @Override
        public int compareTo(Key other) {
            return Comparator.comparingLong(Key::sequence)
                    .thenComparing(Key::camera)
                    .compare(this, other);
        }
    }

    private static final class Page {
        @Nullable
        SegmentationRecord segmentation;

        @Nullable
        FeatureRecord features;

        @Nullable
        FeatureRecord depth;

        byte @Nullable [] image;
    }

    private final List<Label> labels;
    private final int[] palette;
    private final TreeMap<Key, Page> pages = new TreeMap<>();
    private long step = 1;

    Album(List<Label> labels) {
        this.labels = List.copyOf(labels);
        this.palette = Overlay.palette(labels);
    }

    void add(SegmentationRecord record) {
        Page page = page(record.getHeader());
        if (page != null) {
            page.segmentation = record;
        }
    }

    void addFeatures(FeatureRecord record) {
        Page page = page(record.getHeader());
        if (page != null) {
            page.features = record;
        }
    }

    void addDepth(FeatureRecord record) {
        Page page = page(record.getHeader());
        if (page != null) {
            page.depth = record;
        }
    }

    private @Nullable Page page(RecordHeader header) {
        if (header.getSequence() % step != 0) {
            return null;
        }
        Page page = pages.computeIfAbsent(new Key(header.getSequence(), header.getCameraId()), key -> new Page());
        while (pages.size() > MAX_PAGES && pages.lastKey().sequence() >= step) {
            step *= 2;
            pages.keySet().removeIf(key -> key.sequence() % step != 0);
        }
        return page;
    }

    /** Reads the images of frames that are kept, and returns how many are missing: the topic may lose them. */
    int fetch(FrameImages images) {
        int missing = 0;
        for (Page page : pages.values()) {
            if (page.image == null && page.segmentation != null) {
                page.image =
                        images.read(page.segmentation.getHeader().getSource()).orElse(null);
                missing += page.image == null ? 1 : 0;
            }
        }
        return missing;
    }

    /**
     * Writes {@code overlays/<camera>_<sequence>.png} for every frame that was fetched, and {@code contact-sheet.png}
     * with some of them, the cameras taking turns.
     */
    void draw(Path output) throws IOException {
        Path overlays = FreshFile.directory(output, "overlays");
        Map<String, List<Map.Entry<Key, Page>>> cameras = pages.entrySet().stream()
                .filter(page -> page.getValue().image != null)
                .collect(Collectors.groupingBy(page -> page.getKey().camera(), TreeMap::new, Collectors.toList()));
        int kept = cameras.values().stream().mapToInt(List::size).sum();
        if (kept == 0) {
            return;
        }
        List<Map.Entry<Key, Page>> shown = new ArrayList<>();
        List<String> names = List.copyOf(cameras.keySet());
        int rows = Math.min(MAX_ROWS, kept);
        for (int row = 0; row < rows; row++) {
            List<Map.Entry<Key, Page>> camera = requireNonNull(cameras.get(names.get(row % names.size())));
            shown.add(camera.get(row * camera.size() / rows));
        }
        PrincipalColours principal = principalColours();
        boolean measured = pages.values().stream().anyMatch(page -> page.depth != null);
        List<ContactSheet.Row> sheet = new ArrayList<>();
        BitSet classes = new BitSet();
        for (Map.Entry<Key, Page> entry : pages.entrySet()) {
            Key key = entry.getKey();
            Page page = entry.getValue();
            if (page.segmentation == null || page.image == null) {
                continue;
            }
            BufferedImage frame = Images.decode(page.image);
            byte[] mask = MaskCodec.decode(page.segmentation.getMask());
            BufferedImage overlay = Overlay.segmentation(frame, mask, grid(page.segmentation.getHeader()), palette);
            FreshFile.write(
                    overlays.resolve("%s_%06d.png".formatted(FileNames.of(key.camera()), key.sequence())),
                    Images.png(overlay));
            if (shown.contains(entry)) {
                for (byte label : mask) {
                    classes.set(label & 0xff);
                }
                List<BufferedImage> pictures = new ArrayList<>(List.of(frame, overlay));
                String caption = "%s, frame %d".formatted(key.camera(), key.sequence());
                if (principal != null) {
                    pictures.add(features(frame, page, principal));
                }
                if (measured) {
                    pictures.add(depth(frame, page));
                    caption += page.depth == null ? "" : range(page.depth);
                }
                sheet.add(new ContactSheet.Row(caption, pictures));
            }
        }
        List<String> titles = new ArrayList<>(List.of("frame", "segmentation"));
        if (principal != null) {
            titles.add("features (components 1, 2, 3 as RGB)");
        }
        if (measured) {
            titles.add("depth (near is bright)");
        }
        FreshFile.write(
                output.resolve("contact-sheet.png"),
                Images.png(ContactSheet.draw(
                        titles,
                        sheet,
                        labels.stream().filter(label -> classes.get(label.id())).toList())));
    }

    /** What the brightest and the darkest colour of a measure mean. */
    private static String range(FeatureRecord record) {
        DepthColours.Range range = DepthColours.range(TensorCodec.toFloats(record.getTensor()));
        return String.format(
                Locale.ROOT,
                "; %s %.1f to %.1f %s",
                record.getName(),
                range.near(),
                range.far(),
                record.getUnit().orElse(""));
    }

    private static BufferedImage features(BufferedImage frame, Page page, @Nullable PrincipalColours principal) {
        return principal == null || page.features == null
                ? blank(frame)
                : Overlay.colours(
                        frame.getWidth(),
                        frame.getHeight(),
                        principal.colours(TensorCodec.toFloats(page.features.getTensor())),
                        grid(page.features.getHeader()));
    }

    private static BufferedImage depth(BufferedImage frame, Page page) {
        return page.depth == null
                ? blank(frame)
                : Overlay.colours(
                        frame.getWidth(),
                        frame.getHeight(),
                        DepthColours.colours(TensorCodec.toFloats(page.depth.getTensor())),
                        grid(page.depth.getHeader()));
    }

    private @Nullable PrincipalColours principalColours() {
        List<float[]> features = new ArrayList<>();
        int channels = 0;
        for (Page page : pages.values()) {
            if (page.features != null) {
                features.add(TensorCodec.toFloats(page.features.getTensor()));
                channels = page.features.getTensor().getShape().get(0);
            }
        }
        return features.isEmpty() ? null : new PrincipalColours(features, channels);
    }

    private static BufferedImage blank(BufferedImage frame) {
        return new BufferedImage(frame.getWidth(), frame.getHeight(), BufferedImage.TYPE_INT_RGB);
    }

    private static Grid grid(RecordHeader header) {
        return Grid.of(header.getGeometry().orElseThrow());
    }
}
