package io.upliftstream.tools.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RestGuardTest {
    @ParameterizedTest
    @ValueSource(strings = {"localhost", "localhost:8081", "127.0.0.1:8081", "[::1]:8081", "10.0.0.7", "own:9249"})
    void namesThatOnlyThisMachineCanHave(String host) {
        assertThat(RestGuard.namesThisMachine(host, "own")).isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "evil.example",
                "evil.example:8081",
                "127.0.0.1.evil.example:80",
                "localhost.evil.example",
                "localhost:80:80",
                "127.0.0.1@evil.example",
                "[::1].evil.example",
                "own.evil.example"
            })
    void namesThatAPageMayHaveResolvedToThisMachine(String host) {
        assertThat(RestGuard.namesThisMachine(host, "own")).isFalse();
    }
}
