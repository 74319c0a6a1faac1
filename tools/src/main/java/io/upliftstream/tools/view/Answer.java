package io.upliftstream.tools.view;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * What goes to a browser.
 *
 * @param body one after another; not copied, since browsers that ask for the same moment share its parts
 */
record Answer(int status, String type, List<byte[]> body) {
    private static final int WRITTEN_AT_ONCE = 1 << 16;

    private static final Map<String, String> HEADERS = Map.of(
            "X-Content-Type-Options", "nosniff",
            "Cache-Control", "no-store",
            "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
                            + " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy", "same-origin",
            "Cross-Origin-Opener-Policy", "same-origin",
            "Referrer-Policy", "no-referrer");

    static Answer refusal(int status, String sentence) {
        return new Answer(
                status, "text/plain; charset=utf-8", List.of((sentence + "\n").getBytes(StandardCharsets.UTF_8)));
    }

    long length() {
        return body.stream().mapToLong(part -> part.length).sum();
    }

    void send(HttpExchange exchange) throws IOException {
        Headers headers = exchange.getResponseHeaders();
        HEADERS.forEach(headers::set);
        headers.set("Content-Type", type);
        if (status == 405) {
            headers.set("Allow", "GET, HEAD");
        }
        long length = length();
        if (exchange.getRequestMethod().equals("HEAD")) {
            headers.set("Content-Length", Long.toString(length));
            length = 0;
        }
        exchange.sendResponseHeaders(status, length == 0 ? -1 : length);
        if (length > 0) {
            write(exchange.getResponseBody());
        }
    }

    private void write(OutputStream to) throws IOException {
        try (to) {
            for (byte[] part : body) {
                // Of what it is given at once, the JDK's server keeps a copy of twice the size for each connection.
                for (int from = 0; from < part.length; from += WRITTEN_AT_ONCE) {
                    to.write(part, from, Math.min(WRITTEN_AT_ONCE, part.length - from));
                }
            }
        }
    }
}
