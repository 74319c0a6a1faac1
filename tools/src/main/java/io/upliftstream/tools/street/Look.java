package io.upliftstream.tools.street;

/** What weather and palette streets are drawn in. */
public enum Look {
    /** Sun, cloud, fog or rain at any hour, in the colours of the warm months; the seed settles which. */
    VARIED,
    /** Snowfall on frosted streets with other house colours: never in a training set, to judge on a look not seen before. */
    WINTER;

    private static final int SNOW = 0xE6EAF0;
    private static final int SLUSH = 0xAEB2BA;

    /** Returns the colour that a thing of a class and an everyday colour has in this look. */
    int colour(Cityscapes label, int rgb) {
        if (this == VARIED) {
            return rgb;
        }
        return switch (label) {
            case TERRAIN -> mix(rgb, SNOW, 0.85);
            case VEGETATION -> mix(grey(rgb), SNOW, 0.45);
            case SIDEWALK -> mix(rgb, SNOW, 0.5);
            case ROAD -> mix(rgb, SLUSH, 0.4);
            case BUILDING, WALL -> (rgb & 0xFFFF) << 8 | rgb >> 16;
            case CAR, TRUCK, BUS, TRAIN -> mix(rgb, SLUSH, 0.25);
            default -> rgb;
        };
    }

    Material of(Material material) {
        if (this == VARIED) {
            return material;
        }
        return new Material(
                material.label(),
                material.texture(),
                colour(material.label(), material.rgb()),
                material.trim(),
                material.scale(),
                material.salt());
    }

    private static int grey(int rgb) {
        int level = ((rgb >> 16 & 255) + (rgb >> 8 & 255) + (rgb & 255)) / 3;
        return Shader.rgb(level, level, level);
    }

    private static int mix(int a, int b, double share) {
        return Shader.rgb(channel(a, b, 16, share), channel(a, b, 8, share), channel(a, b, 0, share));
    }

    private static int channel(int a, int b, int shift, double share) {
        int from = a >> shift & 255;
        return (int) Math.round(from + ((b >> shift & 255) - from) * share);
    }
}
