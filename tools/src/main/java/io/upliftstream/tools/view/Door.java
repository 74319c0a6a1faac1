package io.upliftstream.tools.view;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Who may ask: browsers that have the page itself open, under one of its names. A page of somebody else reaches the viewer
 * as well, from the browser of who watches; it is told apart by what browsers say of a question: the name that was asked
 * for ({@code Host}, which a name that was bound to this machine's address afterwards cannot change), {@code Origin} and
 * {@code Sec-Fetch-Site}.
 */
final class Door {
    /** Questions that are answered or wait for an answer at a time, and of one address. */
    static final int MAX_QUESTIONS = 256;

    static final int MAX_OF_ONE = 128;

    /** Bytes of answers that are on their way. */
    private static final long MAX_BYTES =
            Math.min(256L << 20, Runtime.getRuntime().maxMemory() / 8);

    private static final Set<String> LOOPBACK = Set.of("localhost", "127.0.0.1", "[::1]");

    private final Set<String> names = new HashSet<>(LOOPBACK);
    private final Semaphore places = new Semaphore(MAX_QUESTIONS);
    private final Map<InetAddress, Integer> ofOne = new ConcurrentHashMap<>();
    private final AtomicLong bytes = new AtomicLong();

    /** @param more names of the viewer, beside those of the loopback address and the address that is asked */
    Door(Collection<String> more) {
        more.forEach(name -> names.add(name.toLowerCase(Locale.ROOT)));
    }

    /** A place for one question; to be given back. */
    final class Place implements AutoCloseable {
        private final InetAddress who;
        private long taken;

        private Place(InetAddress who) {
            this.who = who;
        }

        /**
         * Makes room for an answer.
         *
         * @throws Refusal if too many are on their way
         */
        void take(long size) {
            taken += size;
            if (bytes.addAndGet(size) > MAX_BYTES) {
                throw new Refusal(503, "too many answers are on their way (expected: to be asked again later)");
            }
        }

        @Override
        public void close() {
            bytes.addAndGet(-taken);
            ofOne.computeIfPresent(who, (address, count) -> count == 1 ? null : count - 1);
            places.release();
        }
    }

    /**
     * Lets a question in.
     *
     * @throws Refusal if it may not be asked, or too many are
     */
    Place enter(HttpExchange exchange) {
        check(exchange);
        InetAddress who = exchange.getRemoteAddress().getAddress();
        if (!places.tryAcquire()) {
            throw new Refusal(503, "%d questions at a time (expected: fewer)".formatted(MAX_QUESTIONS));
        }
        int count = ofOne.merge(who, 1, Integer::sum);
        Place place = new Place(who);
        if (count > MAX_OF_ONE) {
            place.close();
            throw new Refusal(429, "%d questions of one address at a time (expected: fewer)".formatted(MAX_OF_ONE));
        }
        return place;
    }

    private void check(HttpExchange exchange) {
        Headers headers = exchange.getRequestHeaders();
        List<String> hosts = headers.getOrDefault("Host", List.of());
        if (hosts.size() != 1) {
            throw new Refusal(400, "Host: %d of them (expected: one)".formatted(hosts.size()));
        }
        String host = hosts.get(0).toLowerCase(Locale.ROOT);
        String name = host.replaceFirst(":\\d*$", "");
        if (!names.contains(name) && !asked(name, exchange.getLocalAddress().getAddress())) {
            throw new Refusal(403, "Host: another name than the viewer's (--allow-host NAME gives it one more)");
        }
        String origin = headers.getFirst("Origin");
        if (origin != null && !origin.equals("http://" + host) && !origin.equals("https://" + host)) {
            throw new Refusal(403, "Origin: another page (expected: the viewer's own)");
        }
        String site = headers.getFirst("Sec-Fetch-Site");
        boolean own = site == null || site.equals("same-origin") || site.equals("none");
        // A link to the page is no harm.
        boolean link = "document".equals(headers.getFirst("Sec-Fetch-Dest"))
                && exchange.getRequestURI().getPath().equals("/");
        if (!own && !link) {
            throw new Refusal(403, "Sec-Fetch-Site: another page (expected: the viewer's own)");
        }
        if (!Set.of("GET", "HEAD").contains(exchange.getRequestMethod())) {
            throw new Refusal(405, "method: another one (expected: GET or HEAD)");
        }
    }

    /** Whether a Host header has the address at which the question came in: no name leads to it but its own. */
    private static boolean asked(String name, InetAddress local) {
        if (!name.startsWith("[")) {
            return name.equals(local.getHostAddress());
        }
        try {
            return InetAddress.getByName(name).equals(local); // of IPv6, which has several spellings; never looked up
        } catch (UnknownHostException e) {
            return false;
        }
    }
}
