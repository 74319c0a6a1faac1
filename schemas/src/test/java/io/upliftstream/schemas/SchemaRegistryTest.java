package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.schemas.RegistryException.Reason;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(value = 30, unit = TimeUnit.SECONDS)
class SchemaRegistryTest {
    private static final Schema SCHEMA = SingleObject.schema(FrameDropped.class);

    private StubRegistry server;

    @BeforeEach
    void start() throws IOException {
        server = new StubRegistry();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void registersAndLooksUp() {
        server.answer = "{\"id\": 7}";

        assertThat(server.client(SchemaRegistry.basic("ada", "hush")).register("a b/c-value", SCHEMA))
                .isEqualTo(7);
        assertThat(server.client(SchemaRegistry.bearer("hush")).lookUp("dropped-value", SCHEMA))
                .isEqualTo(7);

        assertThat(server.asked.get(0))
                .startsWith("POST /api/subjects/a%20b%2Fc-value/versions Basic YWRhOmh1c2g= {\"schema\":\"{\\\"type");
        assertThat(server.asked.get(1)).startsWith("POST /api/subjects/dropped-value Bearer hush {\"schema\":");
    }

    @Test
    void countsWhatIsAskedAndWhatIsNotAnswered() {
        SchemaRegistry registry = server.client(null);
        server.answer = "{\"error_code\": 40401}";
        for (int status : new int[] {404, 401, 500}) {
            server.status = status;
            assertThatThrownBy(() -> registry.lookUp("dropped-value", SCHEMA)).isInstanceOf(RegistryException.class);
        }
        assertThat(registry.requests()).isEqualTo(3);
        assertThat(registry.failures()).isEqualTo(2); // that there is no such schema is an answer
    }

    @Test
    void anIdIsAskedForOnce() {
        server.answer = "{\"schema\": \"\\\"string\\\"\"}";
        SchemaRegistry registry = server.client(null);

        assertThat(registry.schema(7)).isEqualTo(Schema.create(Schema.Type.STRING));
        assertThat(registry.schema(7)).isEqualTo(Schema.create(Schema.Type.STRING));
        assertThat(registry.schema(Integer.MAX_VALUE)).isEqualTo(Schema.create(Schema.Type.STRING));
        assertThatThrownBy(() -> registry.schema(-1)) // Apicurio's answer to it is not that it does not know it
                .hasMessage("schema id 4294967295 (expected: at most 2147483647)");

        assertThat(server.asked)
                .containsExactly("GET /api/schemas/ids/7 null ", "GET /api/schemas/ids/2147483647 null ");
    }

    @ParameterizedTest
    @CsvSource({
        "401, 401, REFUSED, 'a user and password, or a token, that may do this'",
        "403, 40301, REFUSED, 'a user and password, or a token, that may do this'",
        "404, 40401, UNKNOWN, one that is registered there",
        "404, 40403, UNKNOWN, one that is registered there",
        "404, 404, AWAY, a schema registry at that path",
        "404, null, AWAY, a schema registry at that path",
        "409, 409, INCOMPATIBLE, one that the subject's compatibility allows",
        "422, 42201, UNUSABLE, '200 and JSON, from the registry itself'",
        "429, 429, AWAY, a registry that is well",
        "500, 50001, AWAY, a registry that is well",
    })
    void anAnswerOfNoSuccessIsASentence(int status, String code, Reason reason, String expected) {
        server.status = status;
        server.answer = "{\"error_code\": " + code + ", \"message\": \"said\\u0007\\nso\"}";

        assertThatThrownBy(() -> server.client(SchemaRegistry.bearer("hush")).register("dropped-value", SCHEMA))
                .isInstanceOfSatisfying(RegistryException.class, failed -> assertThat(failed.reason())
                        .isEqualTo(reason))
                .hasMessage("schema FrameDropped of subject dropped-value: %d from %s, said so (expected: %s)"
                        .formatted(status, server.url().toString().replaceAll("/$", ""), expected));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "nothing",
                "{}",
                "{\"schema\": \"no schema\"}",
                "{\"schema\": \"{\\\"type\\\": \\\"Elsewhere\\\"}\"}",
                "{\"schema\": \"message M {}\", \"schemaType\": \"PROTOBUF\"}",
                "{\"schema\": \"\\\"string\\\"\", \"references\": [{\"name\": \"a\"}]}",
            })
    void anAnswerThatIsNoSchemaIsASentence(String answer) {
        server.answer = answer;

        assertUnusable();
    }

    @Test
    void whatIsDeepOrLargeIsASentence() {
        String deep = "{\\\"type\\\":\\\"array\\\",\\\"items\\\":".repeat(5000);
        server.answer = "{\"schema\": \"" + deep + "\"}";
        assertUnusable();

        server.answer = "{\"schema\": \"" + " ".repeat(300_000) + "\"}";
        assertUnusable();

        server.answer = " ".repeat(2_000_000);
        assertUnusable();
        assertThat(message()).contains("more than 1048576 bytes");
    }

    private void assertUnusable() {
        assertThatThrownBy(() -> server.client(null).schema(7))
                .isInstanceOfSatisfying(RegistryException.class, failed -> assertThat(failed.reason())
                        .isEqualTo(Reason.UNUSABLE))
                .hasMessageStartingWith("schema id 7: ");
    }

    private String message() {
        try {
            return server.client(null).schema(7).toString();
        } catch (RegistryException e) {
            return String.valueOf(e.getMessage());
        }
    }

    @Test
    void noOtherHostIsAsked() throws IOException {
        try (StubRegistry other = new StubRegistry()) {
            server.status = 302;
            server.location = other.url().toString();

            assertThat(message()).contains("302 from", "(expected: 200 and JSON, from the registry itself)");
            assertThat(other.asked).isEmpty();
        }
    }

    @Test
    void anAnswerHasALatestTimeAndThenAllFailAtOnceForAWhile() {
        server.answer = "{\"schema\": \"\\\"string\\\"\"}";
        server.delayMillis = 20_000;
        SchemaRegistry registry = server.client(null);

        long start = System.nanoTime();
        assertThatThrownBy(() -> registry.schema(7))
                .isInstanceOfSatisfying(RegistryException.class, failed -> assertThat(failed.mayPass())
                        .isTrue())
                .hasMessage("schema id 7: no answer from %s within 1000 ms (expected: a schema registry there)"
                        .formatted(server.url().toString().replaceAll("/$", "")));
        assertThatThrownBy(() -> registry.schema(8)).isInstanceOf(RegistryException.class);

        assertThat(server.asked).hasSize(1);
        assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(20));
    }

    @Test
    void anIdThatIsForbiddenSaysNothingOfOthersWhereTheLogInIsTaken() {
        server.answer = "{\"schema\": \"\\\"string\\\"\", \"error_code\": 40301}";
        SchemaRegistry registry = server.client(null);
        Schema known = registry.schema(7);
        server.status = 403;
        assertThatThrownBy(() -> registry.schema(8))
                .isInstanceOfSatisfying(RegistryException.class, failed -> assertThat(failed.mayPass())
                        .isFalse())
                .hasMessageContaining("403");
        server.status = 200;
        assertThat(registry.schema(9)).isEqualTo(known);

        server.status = 403;
        server.answer = "<html>of a proxy</html>";
        assertThatThrownBy(() -> registry.schema(10))
                .isInstanceOfSatisfying(RegistryException.class, failed -> assertThat(failed.mayPass())
                        .isTrue());
    }

    @Test
    void whatIsKnownNeedsNoRegistryAndWhatIsUnknownIsNotAskedForAgainAtOnce() {
        server.answer = "{\"schema\": \"\\\"string\\\"\", \"error_code\": 40403}";
        SchemaRegistry registry = server.client(null);
        Schema known = registry.schema(7);
        server.status = 404;
        assertThatThrownBy(() -> registry.schema(8)).hasMessageContaining("404");
        assertThatThrownBy(() -> registry.schema(8)).hasMessageContaining("404");
        assertThat(server.asked).hasSize(2);
        server.status = 200;
        assertThat(registry.schema(9))
                .as("one that is unknown says nothing of others")
                .isEqualTo(known);

        server.close();

        assertThat(registry.schema(7)).isSameAs(known);
        assertThatThrownBy(() -> registry.schema(10)).isInstanceOf(RegistryException.class);
    }

    @Test
    void nobodyThereIsASentence() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        SchemaRegistry registry =
                new SchemaRegistry(URI.create("http://127.0.0.1:" + port), Duration.ofSeconds(5), null, null);

        assertThatThrownBy(() -> registry.lookUp("dropped-value", SCHEMA))
                .hasMessage(
                        "schema FrameDropped of subject dropped-value: no connection to http://127.0.0.1:%d (expected: a schema registry there)"
                                .formatted(port));
    }
}
