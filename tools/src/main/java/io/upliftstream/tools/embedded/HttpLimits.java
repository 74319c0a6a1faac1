package io.upliftstream.tools.embedded;

/**
 * What the JDK's HTTP server allows whoever asks. It reads these properties once, before the first server of a process,
 * so that all servers here set them together.
 */
public final class HttpLimits {
    /** Connections that may be open at once. */
    public static final int MAX_CONNECTIONS = 1024;

    static {
        System.setProperty("sun.net.httpserver.maxReqTime", "5"); // seconds for a question to arrive
        System.setProperty("sun.net.httpserver.maxRspTime", "30"); // seconds for a browser to take its answer
        System.setProperty("sun.net.httpserver.maxReqHeaderSize", "32768"); // bytes
        System.setProperty("jdk.httpserver.maxConnections", Integer.toString(MAX_CONNECTIONS));
        System.setProperty("sun.net.httpserver.nodelay", "true");
    }

    private HttpLimits() {}

    /** Sets them, if nothing has done so yet. */
    public static void set() {}
}
