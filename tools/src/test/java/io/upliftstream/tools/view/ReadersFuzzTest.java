package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.stream.RecordFiles;
import io.upliftstream.tools.stream.RecordKind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever is on a topic or asked of the viewer, the answer is a line, a question, or one sentence. Runs the seeds as a test;
 * docs/reliability.md says how to fuzz.
 */
class ReadersFuzzTest {
    /** Of a record that is looked at: more cells take more time than an input may. */
    private static final long MAX_CELLS = 1 << 16;

    private static final List<RecordKind> KINDS = List.of(RecordKind.values());

    static Stream<byte[]> lines() throws IOException {
        List<byte[]> values = new ArrayList<>();
        Path test = Path.of("..", "schemas", "src", "test", "resources");
        for (String golden : List.of("golden", "golden-v1")) {
            try (Stream<Path> files = Files.list(test.resolve(golden))) {
                for (Path file : files.sorted().toList()) {
                    byte[] value = Files.readAllBytes(file);
                    for (RecordKind kind : KINDS) {
                        values.add(ByteBuffer.allocate(1 + value.length)
                                .put((byte) KINDS.indexOf(kind))
                                .put(value)
                                .array());
                    }
                }
            }
        }
        return values.stream();
    }

    /** The topic (a byte), then a record's value, as {@code consume} prints it. */
    @MethodSource("lines")
    @FuzzTest
    void line(byte[] bytes) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        RecordKind kind = KINDS.get(in.hasRemaining() ? Math.floorMod(in.get(), KINDS.size()) : 0);
        byte[] value = new byte[in.remaining()];
        in.get(value);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (RecordFiles files = RecordFiles.lines(new PrintStream(out, true, StandardCharsets.UTF_8))) {
            SpecificRecord record =
                    kind.decode(new ConsumerRecord<>("topic", 0, 0, new byte[0], value), new RecordDecoder());
            if (cells(record) > MAX_CELLS) {
                return;
            }
            files.write(record);
            String line = out.toString(StandardCharsets.UTF_8);
            assertThat(line.lines()).hasSize(1);
            assertThat(new ObjectMapper().readTree(line).size())
                    .isGreaterThanOrEqualTo(record.getSchema().getFields().size());
        } catch (MalformedRecordException e) {
            assertThat(e).message().contains("expected").hasLineCount(1);
            assertThat(out.size()).isZero();
        }
    }

    private static long cells(SpecificRecord record) {
        if (record instanceof CameraFrame || record instanceof VideoPacket) {
            return 0;
        }
        RecordHeader header = RecordKind.header(record);
        return header.getGeometry()
                .map(geometry -> (long) geometry.getOutputWidth() * geometry.getOutputHeight())
                .orElse(0L);
    }

    static Stream<byte[]> questions() {
        return Stream.of(
                        "/moments?want=labels,features&camera=gate&camera=lobby%201&after=17",
                        "/moment?partition=3&offset=42&want=values",
                        "/moment?partition=4294967296&offset=-1",
                        "/?want=labels&want=labels",
                        "/?camera=%zz")
                .map(text -> text.getBytes(StandardCharsets.US_ASCII));
    }

    @MethodSource("questions")
    @FuzzTest
    void question(byte[] address) {
        URI uri;
        try {
            uri = URI.create(new String(address, StandardCharsets.ISO_8859_1));
        } catch (IllegalArgumentException e) {
            return; // the JDK's server refuses it
        }
        try {
            Question question = Question.of(uri);
            assertThat(Moment.KINDS).containsAll(question.want());
            assertThat(question.want()).isNotEmpty();
            assertThat(question.cameras()).hasSizeLessThanOrEqualTo(Board.MAX_CAMERAS);
            assertThat(question.after()).isNotNegative();
            assertThat(Math.min(question.partition(), question.offset())).isGreaterThanOrEqualTo(-1);
        } catch (Refusal refusal) {
            assertThat(refusal.status()).isIn(400, 414);
            assertThat(refusal).message().contains("expected");
        }
    }
}
