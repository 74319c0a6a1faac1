package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.schemas.RecordDecoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

class RecordJsonTest {
    private static final Path GOLDEN = Path.of("..", "schemas", "src", "test", "resources", "golden");

    private static JsonNode json(RecordKind kind, String name) throws IOException {
        byte[] value = Files.readAllBytes(GOLDEN.resolve(name + ".avro"));
        return new ObjectMapper()
                .valueToTree(RecordJson.of(
                        kind.decode(new ConsumerRecord<>("topic", 0, 0, new byte[0], value), new RecordDecoder())));
    }

    @Test
    void segmentationHasTheShareOfEveryClass() throws IOException {
        JsonNode record = json(RecordKind.SEGMENTATION, "segmentation-rle");
        assertThat(record.at("/header/cameraId").asText()).isEqualTo("north-gate");
        assertThat(record.at("/header/source/offset").asLong()).isEqualTo(1234);
        assertThat(record.at("/header/tracestate").isNull()).isTrue();
        assertThat(record.at("/mask/encoding").asText()).isEqualTo("RLE");
        assertThat(record.at("/mask/data/bytes").asInt()).isPositive();
        // Label 0 has the upper left 5 x 3 of 24 x 16 pixels.
        assertThat(record.at("/shares/road").asDouble()).isEqualTo(0.03906);
        assertThat(record.at("/shares").has("255")).isFalse();
    }

    @Test
    void tensorHasItsRange() throws IOException {
        JsonNode record = json(RecordKind.DEPTH, "depth");
        assertThat(record.at("/unit").asText()).isEqualTo("m");
        assertThat(record.at("/tensor/shape/2").asInt()).isEqualTo(12);
        assertThat(record.at("/min").asDouble()).isZero();
        assertThat(record.at("/mean").asDouble()).isEqualTo(23.75);
        assertThat(record.at("/max").asDouble()).isEqualTo(47.5);
    }

    @Test
    void failureSaysWhy() throws IOException {
        assertThat(json(RecordKind.FAILURES, "failure").at("/reason").asText()).isEqualTo("NOT_AN_IMAGE");
    }
}
