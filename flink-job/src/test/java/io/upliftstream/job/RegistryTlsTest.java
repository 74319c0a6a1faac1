package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import io.upliftstream.model.HeadKind;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A registry with a certificate that nobody but itself has signed. */
class RegistryTlsTest {
    private static final String SECRET = "hush-4711";

    private static Path store;
    private static Path certificate;

    @BeforeAll
    static void certify(@TempDir Path directory) throws Exception {
        store = directory.resolve("store.p12");
        certificate = directory.resolve("registry.pem");
        keytool(
                "-genkeypair",
                "-alias",
                "registry",
                "-keyalg",
                "EC",
                "-dname",
                "CN=registry",
                "-ext",
                "SAN=IP:127.0.0.1");
        keytool("-exportcert", "-rfc", "-alias", "registry", "-file", certificate.toString());
    }

    private static void keytool(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString()));
        command.addAll(List.of(arguments));
        command.addAll(List.of("-storetype", "PKCS12", "-keystore", store.toString(), "-storepass", SECRET));
        assertThat(new ProcessBuilder(command).inheritIO().start().waitFor()).isZero();
    }

    /** @param asksBack whether it lets nobody in without a certificate */
    private static StubRegistry registry(boolean asksBack) throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(store)) {
            keys.load(in, SECRET.toCharArray());
        }
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(keys, SECRET.toCharArray());
        KeyStore known = KeyStore.getInstance("PKCS12");
        known.load(null, null);
        known.setCertificateEntry("client", keys.getCertificate("registry"));
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(known);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), trusted.getTrustManagers(), null);
        HttpsServer server = HttpsServer.create(StubRegistry.address(), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters tls = context.getDefaultSSLParameters();
                tls.setNeedClientAuth(asksBack);
                parameters.setSSLParameters(tls);
            }
        });
        return new StubRegistry(server);
    }

    private static Framing framing(StubRegistry registry, String... more) {
        List<String> all = new ArrayList<>(List.of("uplift.schema-registry.url", registry.url()));
        all.addAll(List.of(more));
        JobSettings settings = TestFrames.settings(all.toArray(String[]::new));
        return Framing.of(settings, settings.outputRecords(List.of(HeadKind.SEGMENTATION)));
    }

    private static final String TRUST = "uplift.kafka.properties.ssl.truststore.";
    private static final String KEYS = "uplift.kafka.properties.ssl.keystore.";

    @Test
    void itsCertificateIsCheckedAgainstTheTruststore() throws Exception {
        try (StubRegistry registry = registry(false)) {
            assertThatThrownBy(() -> framing(registry))
                    .isInstanceOf(StartupException.class)
                    .hasMessageContaining("no answer from " + registry.url())
                    .hasMessageContaining("unable to find valid certification path");
            assertThat(registry.asked).isEmpty();
            framing(registry, TRUST + "type", "PEM", TRUST + "location", certificate.toString());
            framing(
                    registry,
                    TRUST + "type",
                    "PKCS12",
                    TRUST + "location",
                    store.toString(),
                    TRUST + "password",
                    SECRET);
            assertThat(registry.asked).isNotEmpty();
        }
    }

    @Test
    void aKeystoreIsShownToARegistryThatAsksForOne() throws Exception {
        try (StubRegistry registry = registry(true)) {
            String[] trust = {TRUST + "type", "PEM", TRUST + "location", certificate.toString()};
            assertThatThrownBy(() -> framing(registry, trust)).isInstanceOf(StartupException.class);
            assertThat(registry.asked).isEmpty();
            List<String> both = new ArrayList<>(List.of(trust));
            both.addAll(List.of(
                    KEYS + "type",
                    "PKCS12",
                    KEYS + "location",
                    store.toString(),
                    KEYS + "password",
                    SECRET,
                    "uplift.kafka.properties.ssl.key.password",
                    SECRET));
            framing(registry, both.toArray(String[]::new));
            assertThat(registry.asked).isNotEmpty();
        }
    }
}
