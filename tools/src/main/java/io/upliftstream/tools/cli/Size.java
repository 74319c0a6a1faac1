package io.upliftstream.tools.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * A width and a height in pixels.
 *
 * @param height 0, where the option allows it, for what keeps the aspect
 */
record Size(int width, int height) {
    private static final Pattern FORM = Pattern.compile("([1-9]\\d{0,4})(?:x([1-9]\\d{0,4}))?");

    /** Reads {@code 640x360}. */
    static final class Converter implements ITypeConverter<Size> {
        @Override
        public Size convert(String text) {
            Size size = read(text);
            if (size.height == 0) {
                throw refused(text);
            }
            return size;
        }
    }

    /** Reads {@code 640x360}, or {@code 640} with height 0. */
    static final class ScaleConverter implements ITypeConverter<Size> {
        @Override
        public Size convert(String text) {
            return read(text);
        }
    }

    private static Size read(String text) {
        Matcher sides = FORM.matcher(text);
        if (!sides.matches()) {
            throw refused(text);
        }
        String height = sides.group(2);
        return new Size(Integer.parseInt(sides.group(1)), height == null ? 0 : Integer.parseInt(height));
    }

    private static TypeConversionException refused(String text) {
        return Mistakes.refused(text, "WxH, for example 640x384");
    }
}
