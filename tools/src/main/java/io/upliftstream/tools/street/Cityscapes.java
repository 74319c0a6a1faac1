package io.upliftstream.tools.street;

/** The 19 evaluated classes of the Cityscapes benchmark with their official colours, in the order of their train ids. */
public enum Cityscapes {
    ROAD("road", 0x804080),
    SIDEWALK("sidewalk", 0xF423E8),
    BUILDING("building", 0x464646),
    WALL("wall", 0x66669C),
    FENCE("fence", 0xBE9999),
    POLE("pole", 0x999999),
    TRAFFIC_LIGHT("traffic light", 0xFAAA1E),
    TRAFFIC_SIGN("traffic sign", 0xDCDC00),
    VEGETATION("vegetation", 0x6B8E23),
    TERRAIN("terrain", 0x98FB98),
    SKY("sky", 0x4682B4),
    PERSON("person", 0xDC143C),
    RIDER("rider", 0xFF0000),
    CAR("car", 0x00008E),
    TRUCK("truck", 0x000046),
    BUS("bus", 0x003C64),
    TRAIN("train", 0x005064),
    MOTORCYCLE("motorcycle", 0x0000E6),
    BICYCLE("bicycle", 0x770B20);

    /** The label of pixels that belong to no class. */
    public static final int VOID = 255;

    private final String label;
    private final int rgb;

    Cityscapes(String label, int rgb) {
        this.label = label;
        this.rgb = rgb;
    }

    /** Returns the id used in labels, 0..18: the benchmark's train id. */
    @SuppressWarnings("EnumOrdinal") // the order is the benchmark's
    public int trainId() {
        return ordinal();
    }

    /** Returns the class name as the benchmark writes it, for example {@code traffic light}. */
    public String label() {
        return label;
    }

    /** Returns the palette colour as 0xRRGGBB. */
    public int rgb() {
        return rgb;
    }
}
