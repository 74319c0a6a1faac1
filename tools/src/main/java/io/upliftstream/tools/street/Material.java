package io.upliftstream.tools.street;

/**
 * What a surface is and looks like.
 *
 * @param label the class of its pixels
 * @param rgb main colour, 0xRRGGBB
 * @param trim second colour (windows, joints, rims), 0xRRGGBB
 * @param scale the texture's main length in metres (window spacing, radius, ...)
 * @param salt varies the texture between surfaces of one kind
 */
record Material(Cityscapes label, Texture texture, int rgb, int trim, double scale, int salt) {
    static Material of(Cityscapes label, Texture texture, int rgb) {
        return new Material(label, texture, rgb, 0x202020, 1, 0);
    }
}
