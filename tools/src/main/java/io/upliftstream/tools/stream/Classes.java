package io.upliftstream.tools.stream;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.SegmentationRecord;
import java.awt.Color;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Names and colours of classes: those of a bundle, and those of records that another model made. */
public final class Classes {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final float GOLDEN_RATIO = 0.618034f;

    private final List<Label> labels;
    private final List<String> names;
    private final Map<String, Integer> colours = new HashMap<>();
    private final String model;

    /**
     * Those of a bundle.
     *
     * @param labels may be empty
     * @param model the SHA-256 of the bundle that they are of; may be empty
     */
    public Classes(List<Label> labels, String model) {
        this.labels = List.copyOf(labels);
        this.model = model;
        names = labels.stream().map(Label::name).toList();
        labels.forEach(label -> colours.putIfAbsent(label.name(), label.rgb()));
    }

    /**
     * Those of a record: the bundle's if they are the same; else as the record names them, and as numbers where it has no
     * names and is of another model. A name has the colour that the bundle gives it.
     */
    public List<Label> of(SegmentationRecord record) {
        List<String> own = record.getClassNames();
        String maker =
                record.getHeader().getModel().map(ModelIdentity::getSha256).orElse(model);
        if (!labels.isEmpty() && (own.isEmpty() ? maker.equals(model) : own.equals(names))) {
            return labels;
        }
        List<Label> all = new ArrayList<>();
        for (int id = 0; id < Math.max(own.size(), record.getClasses()); id++) {
            String name = id < own.size() ? own.get(id) : "class " + id;
            int colour = Color.HSBtoRGB(id * GOLDEN_RATIO, 0.65f, 0.95f) & 0xffffff;
            all.add(new Label(id, name, colours.getOrDefault(name, colour)));
        }
        return all;
    }

    /** The bundle's, as JSON. */
    public byte[] json() {
        return json(labels);
    }

    /** Those of a record as JSON, of no bytes if they are the bundle's. */
    public byte[] json(SegmentationRecord record) {
        List<Label> found = of(record);
        return found == labels ? new byte[0] : json(found);
    }

    private static byte[] json(List<Label> labels) {
        try {
            return JSON.writeValueAsBytes(labels.stream()
                    .map(label -> Map.of(
                            "id", label.id(), "name", label.name(), "color", String.format("#%06x", label.rgb())))
                    .toList());
        } catch (JsonProcessingException e) {
            throw new UncheckedIOException(e);
        }
    }
}
