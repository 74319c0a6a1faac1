package io.upliftstream.tools.stream;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.DepthColours;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.picture.Overlay;
import io.upliftstream.tools.picture.Planes;
import java.awt.Dimension;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.Optional;
import org.apache.avro.specific.SpecificRecord;

/**
 * Draws dense records in the size of their frames: classes over the frame, features by their principal components,
 * measures such as depth from near to far.
 */
public final class RecordPainter {
    private final FrameImages images;
    private final Classes classes;
    private final HeadColours principal = new HeadColours();
    private int missing;

    public RecordPainter(FrameImages images, Classes classes) {
        this.images = images;
        this.classes = classes;
    }

    /** The picture of a {@link SegmentationRecord} or {@link FeatureRecord}. */
    public BufferedImage paint(SpecificRecord record) throws IOException {
        Geometry geometry = RecordKind.header(record).getGeometry().orElseThrow();
        Grid grid = Grid.of(geometry);
        if (record instanceof SegmentationRecord segmentation) {
            return segmentation(segmentation, geometry, grid);
        }
        FeatureRecord features = (FeatureRecord) record;
        return Overlay.colours(geometry.getFrameWidth(), geometry.getFrameHeight(), colours(features), grid);
    }

    private BufferedImage segmentation(SegmentationRecord record, Geometry geometry, Grid grid) throws IOException {
        byte[] labels = MaskCodec.decode(record.getMask());
        int[] palette = Overlay.palette(classes.of(record));
        Optional<BufferedImage> frame =
                images.image(record.getHeader().getSource()).flatMap(image -> decode(image, geometry));
        if (frame.isPresent()) {
            return Overlay.segmentation(frame.get(), labels, grid, palette);
        }
        missing++;
        int[] colours = new int[labels.length];
        for (int i = 0; i < labels.length; i++) {
            int label = labels[i] & 0xff;
            colours[i] = label == record.getIgnoreLabel() ? 0 : palette[label];
        }
        return Overlay.colours(geometry.getFrameWidth(), geometry.getFrameHeight(), colours, grid);
    }

    /** The frame that the geometry tells of; empty if the image is of another size or none. */
    private static Optional<BufferedImage> decode(byte[] image, Geometry geometry) {
        Dimension frame = new Dimension(geometry.getFrameWidth(), geometry.getFrameHeight());
        try {
            Dimension size = Images.size(image);
            boolean upright = size.equals(frame);
            boolean sideways = size.width == frame.height && size.height == frame.width; // by EXIF orientation
            return upright || sideways ? Optional.of(Images.decode(image)) : Optional.empty();
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private int[] colours(FeatureRecord record) {
        float[] planes = Planes.of(record.getTensor());
        return Planes.channels(record.getTensor()) == 1
                ? DepthColours.colours(planes)
                : principal.of(record, planes).colours(planes);
    }

    /** Classes that were drawn without their frame, which was not on the input topic, or not as they say. */
    public int missing() {
        return missing;
    }
}
