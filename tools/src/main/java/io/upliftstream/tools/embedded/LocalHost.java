package io.upliftstream.tools.embedded;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.net.InetAddress;
import java.net.UnknownHostException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** This machine's own name, which on some machines has no address. */
final class LocalHost {
    private static final Logger LOG = LoggerFactory.getLogger(LocalHost.class);

    private LocalHost() {}

    /**
     * Gives the machine's name the loopback address if it has none. Flink's cluster in one process asks for the address
     * behind the name and does not start without one, though it connects to the loopback address afterwards.
     *
     * <p>Java has no setting for a single name, but remembers the last answer for five seconds; that is where this one goes.
     */
    static void orLoopback() {
        try {
            InetAddress.getLocalHost();
        } catch (UnknownHostException e) {
            try {
                // The message is the name, a colon and the reason.
                String name = String.valueOf(e.getMessage()).replaceFirst(": .*", "");
                Field cached = InetAddress.class.getDeclaredField("cachedLocalHost");
                cached.setAccessible(true);
                Constructor<?> entry = cached.getType().getDeclaredConstructor(String.class, InetAddress.class);
                entry.setAccessible(true);
                cached.set(null, entry.newInstance(name, InetAddress.getByAddress(name, new byte[] {127, 0, 0, 1})));
            } catch (ReflectiveOperationException | RuntimeException | UnknownHostException inaccessible) {
                LOG.warn("this machine's name has no address, and Flink may not start", inaccessible);
            }
        }
    }
}
