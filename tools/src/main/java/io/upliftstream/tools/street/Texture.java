package io.upliftstream.tools.street;

/** How a surface's colour varies over it; {@link Shader} draws them. */
enum Texture {
    PLAIN,
    GROUND,
    SKY,
    FACADE,
    ROOF,
    BRICKS,
    SLATS,
    LEAVES,
    ROUND,
    GLASS,
    SIDE_WINDOWS,
    CARGO,
    RADIAL,
    SPOKES,
    LIT
}
