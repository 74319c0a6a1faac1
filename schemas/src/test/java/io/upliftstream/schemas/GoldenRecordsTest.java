package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.avro.specific.SpecificRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The committed files are what subscribers in other languages are tested with. */
class GoldenRecordsTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    static Iterable<Map.Entry<String, SpecificRecord>> records() {
        return GoldenRecords.all().entrySet();
    }

    /** To renew the files after an intended change: copy those of target/golden. */
    @ParameterizedTest
    @MethodSource("records")
    void everyGoldenFileIsWhatWouldBeWrittenNow(Map.Entry<String, SpecificRecord> golden) throws IOException {
        byte[] now = SingleObject.encode(golden.getValue());
        String file = golden.getKey() + ".avro";
        Files.write(Files.createDirectories(Path.of("target/golden")).resolve(file), now);

        byte[] committed = Files.readAllBytes(GOLDEN.resolve(file));

        // The bytes of a PNG are the choice of the JDK's zlib; its pixels are not.
        if (golden.getKey().equals("segmentation-png")) {
            SegmentationRecord record = SingleObject.decode(committed, SegmentationRecord.class);
            assertThat(MaskCodec.decode(record.getMask())).isEqualTo(GoldenRecords.labels());
        } else {
            assertThat(committed).isEqualTo(now);
        }
    }

    @Test
    void noGoldenFileIsWithoutItsRecord() throws IOException {
        try (var files = Files.list(GOLDEN)) {
            assertThat(files.map(file -> file.getFileName().toString().replace(".avro", "")))
                    .containsExactlyInAnyOrderElementsOf(GoldenRecords.all().keySet());
        }
    }

    /** Files of version 1, as they were written when it was the newest. */
    @ParameterizedTest
    @ValueSource(strings = {"segmentation-zstd", "features-int8-zstd", "depth", "failure"})
    void recordsOfTheFirstVersionAreReadAsThoseOfTheNewest(String name) throws IOException {
        SpecificRecord now = GoldenRecords.all().get(name);
        byte[] then = Files.readAllBytes(Path.of("src/test/resources/golden-v1", name + ".avro"));

        assertThat(SingleObject.decode(then, now.getClass())).isEqualTo(now);
    }
}
