package io.upliftstream.tools.embedded;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.io.network.netty.InboundChannelHandlerFactory;
import org.apache.flink.shaded.netty4.io.netty.buffer.Unpooled;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelDuplexHandler;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelFutureListener;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelHandler;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelHandlerContext;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelInboundHandlerAdapter;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelPipeline;
import org.apache.flink.shaded.netty4.io.netty.channel.ChannelPromise;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.DefaultFullHttpResponse;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.FullHttpResponse;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpHeaderNames;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpHeaders;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpMethod;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpRequest;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpResponse;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpResponseStatus;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpServerCodec;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.HttpVersion;
import org.apache.flink.shaded.netty4.io.netty.handler.codec.http.QueryStringDecoder;
import org.apache.flink.shaded.netty4.io.netty.util.ReferenceCountUtil;
import org.jspecify.annotations.Nullable;

/**
 * Stands before a JobManager's REST interface, which by itself answers pages of any origin under any name, and runs jars
 * for them. Flink finds this class as a service; it does nothing where {@link #SECRET} is not set.
 *
 * <p>A request that knows the secret passes. With {@link #PAGE} a browser on this machine may also look, and change nothing.
 */
public final class RestGuard implements InboundChannelHandlerFactory {
    /** What {@link #HEADER} has to say. Flink shows no option with such a name. */
    static final ConfigOption<String> SECRET =
            ConfigOptions.key("rest-guard.secret").stringType().noDefaultValue();

    /** Whether Flink's page is shown to browsers that ask this machine for it by a name of its own. */
    static final ConfigOption<Boolean> PAGE =
            ConfigOptions.key("rest-guard.page").booleanType().defaultValue(false);

    public static final String HEADER = "X-Uplift-Secret";

    private static final Set<String> OWN_PAGE = Set.of("same-origin", "none");

    @Override
    public int priority() {
        return Integer.MAX_VALUE;
    }

    @Override
    public Optional<ChannelHandler> createHandler(Configuration configuration, Map<String, String> responseHeaders) {
        return configuration.getOptional(SECRET).map(secret -> new Placing(secret, configuration.get(PAGE)));
    }

    /**
     * Whether a request is addressed to a name that only this machine can have. A page that has its own name resolved to
     * this machine (DNS rebinding) sends that name, and not an address.
     *
     * @param host the header {@code Host}
     * @param own a name that is right, too
     */
    static boolean namesThisMachine(@Nullable String host, String own) {
        if (host == null) {
            return false;
        }
        String name = host.replaceFirst(":[0-9]+$", "");
        return name.equals("localhost")
                || name.equals(own)
                || name.matches("[0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9a-fA-F:.]+]");
    }

    /**
     * Lays the guard where the JobManager of another process finds it.
     *
     * @param directory on that process's class path
     * @return settings for its configuration, in YAML
     */
    public static String install(Path directory, String secret) throws IOException {
        Stream<Class<?>> parts =
                Stream.concat(Stream.of(RestGuard.class), Arrays.stream(RestGuard.class.getDeclaredClasses()));
        for (String name : parts.map(Class::getName).toList()) {
            copy(name.replace('.', '/') + ".class", directory);
        }
        copy("META-INF/services/" + InboundChannelHandlerFactory.class.getName(), directory);
        return SECRET.key() + ": " + secret + "\n";
    }

    private static void copy(String resource, Path directory) throws IOException {
        Path file = directory.resolve(resource);
        Files.createDirectories(file.getParent());
        try (InputStream in = RestGuard.class.getResourceAsStream("/" + resource)) {
            Files.copy(requireNonNull(in, resource), file);
        }
    }

    /** Puts the guard before Flink's handler of uploads, which writes them to a disk, and goes. */
    private static final class Placing extends ChannelInboundHandlerAdapter {
        private final Guard guard;

        private Placing(String secret, boolean page) {
            guard = new Guard(secret, page);
        }

        @Override
        public void handlerAdded(ChannelHandlerContext context) {
            ChannelPipeline pipeline = context.pipeline();
            pipeline.addAfter(pipeline.context(HttpServerCodec.class).name(), null, guard);
            pipeline.remove(this);
        }
    }

    private static final class Guard extends ChannelDuplexHandler {
        private final byte[] secret;
        private final boolean page;
        private boolean refused;

        private Guard(String secret, boolean page) {
            this.secret = secret.getBytes(StandardCharsets.UTF_8);
            this.page = page;
        }

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpRequest request && !refused && !passes(request)) {
                refused = true;
                var unused = context.writeAndFlush(refusal()).addListener(ChannelFutureListener.CLOSE);
            }
            if (refused) {
                ReferenceCountUtil.release(message);
            } else {
                context.fireChannelRead(message);
            }
        }

        private static FullHttpResponse refusal() {
            FullHttpResponse response = new DefaultFullHttpResponse(
                    HttpVersion.HTTP_1_1, HttpResponseStatus.FORBIDDEN, Unpooled.EMPTY_BUFFER);
            response.headers().set(HttpHeaderNames.CONTENT_LENGTH, 0).set(HttpHeaderNames.CONNECTION, "close");
            return response;
        }

        private boolean passes(HttpRequest request) {
            String given = request.headers().get(HEADER, "");
            return request.decoderResult().isSuccess()
                    && (MessageDigest.isEqual(secret, given.getBytes(StandardCharsets.UTF_8))
                            || (page && looksOnly(request) && comesFromThisPage(request.headers())));
        }

        /** Flink has GET requests that end a job, too: {@code yarn-cancel} and {@code yarn-stop}. */
        private static boolean looksOnly(HttpRequest request) {
            return (request.method().equals(HttpMethod.GET) || request.method().equals(HttpMethod.HEAD))
                    && !new QueryStringDecoder(request.uri()).path().contains("/yarn-");
        }

        private static boolean comesFromThisPage(HttpHeaders headers) {
            String host = headers.get(HttpHeaderNames.HOST);
            return namesThisMachine(host, "localhost")
                    && headers.get(HttpHeaderNames.ORIGIN, "http://" + host).equals("http://" + host)
                    && OWN_PAGE.contains(headers.get("Sec-Fetch-Site", "none"));
        }

        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) throws Exception {
            if (message instanceof HttpResponse response) {
                response.headers()
                        .remove(HttpHeaderNames.ACCESS_CONTROL_ALLOW_ORIGIN)
                        .set(HttpHeaderNames.CONTENT_SECURITY_POLICY, "frame-ancestors 'none'")
                        .set("Cross-Origin-Resource-Policy", "same-origin")
                        .set("X-Content-Type-Options", "nosniff");
            }
            super.write(context, message, promise);
        }
    }
}
