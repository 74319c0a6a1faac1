package io.upliftstream.tools.cli;

import java.io.PrintStream;

/**
 * Prints text without what a terminal would obey: control characters other than the end of a line, and those that turn the
 * direction of writing, are printed as {@code \\u001b}, which JSON reads as the same character.
 */
final class PlainPrintStream extends PrintStream {
    private final PrintStream destination;

    PlainPrintStream(PrintStream destination) {
        super(destination, true);
        this.destination = destination;
    }

    @Override
    public void print(String text) {
        destination.print(plain(String.valueOf(text)));
    }

    @Override
    public void print(Object object) {
        print(String.valueOf(object));
    }

    static String plain(String text) {
        StringBuilder plain = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (obeyed(c)) {
                plain.append(String.format("\\u%04x", (int) c));
            } else {
                plain.append(c);
            }
        }
        return plain.toString();
    }

    private static boolean obeyed(char c) {
        return (Character.isISOControl(c) && c != '\n' && c != '\r' && c != '\t')
                || (c >= '\u202a' && c <= '\u202e')
                || (c >= '\u2066' && c <= '\u2069');
    }
}
