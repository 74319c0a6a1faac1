package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.SchemaFormatter;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.specific.SpecificData;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** A published schema is a promise: whoever has one version can read what any other wrote. */
class SchemaEvolutionTest {
    static final List<?> RECORDS = SingleObject.RECORDS;

    @ParameterizedTest
    @FieldSource("RECORDS")
    void everyVersionReadsEveryOther(Class<?> record) {
        List<Schema> versions = IntStream.rangeClosed(1, SingleObject.VERSIONS)
                .mapToObj(version -> SingleObject.published(record, version))
                .toList();
        for (Schema version : versions) {
            for (Schema other : versions) {
                assertThat(fullyCompatible(version, other)).isTrue();
            }
        }
    }

    /** What a later version may do, and what this test would catch. */
    @Test
    void symbolsAndFieldsWithADefaultMayBeAddedAndNothingElse() {
        Schema published = SingleObject.published(SegmentationRecord.class, 1);
        String schema = published.toString();
        Schema symbol = parse(schema.replace("\"RAW_ZSTD\",", "\"RAW_ZSTD\",\"DELTA\","));
        Schema field =
                parse(schema.replace("\"fields\":[", "\"fields\":[{\"name\":\"n\",\"type\":\"int\",\"default\":0},"));
        Schema bareField =
                parse(schema.replaceFirst("\"fields\":\\[", "\"fields\":[{\"name\":\"n\",\"type\":\"int\"},"));

        assertThat(fullyCompatible(published, symbol)).isTrue();
        assertThat(fullyCompatible(published, field)).isTrue();
        assertThat(fullyCompatible(published, bareField)).isFalse();
    }

    /** To publish a change: add the files of target/schemas as the next version's, and raise SingleObject.VERSIONS. */
    @ParameterizedTest
    @FieldSource("RECORDS")
    void theNewestPublishedVersionIsTheOneInUse(Class<?> record) throws IOException {
        Schema current = parse(SpecificData.get()
                .getSchema(record)
                .toString()
                .replace("{\"type\":\"string\",\"avro.java.string\":\"String\"}", "\"string\""));
        Path written = Files.createDirectories(Path.of("target/schemas")).resolve(record.getSimpleName() + ".avsc");
        Files.writeString(written, SchemaFormatter.format("json/pretty", current) + "\n");

        // Names, types, defaults and documentation: all that a subscriber sees.
        assertThat(SingleObject.published(record, SingleObject.VERSIONS).toString())
                .isEqualTo(current.toString());
    }

    @ParameterizedTest
    @FieldSource("RECORDS")
    void theDocsListEveryFingerprint(Class<?> record) throws IOException {
        String docs = Files.readString(Path.of("../docs/schemas.md"));
        for (int version = 1; version <= SingleObject.VERSIONS; version++) {
            // as on the wire: little-endian
            long fingerprint = Long.reverseBytes(
                    SchemaNormalization.parsingFingerprint64(SingleObject.published(record, version)));
            assertThat(docs)
                    .contains(String.format(
                            Locale.ROOT, "| `%s` | %d | `%016x` |", record.getSimpleName(), version, fingerprint));
        }
    }

    private static boolean fullyCompatible(Schema one, Schema other) {
        return canRead(one, other) && canRead(other, one);
    }

    private static boolean canRead(Schema reader, Schema writer) {
        return SchemaCompatibility.checkReaderWriterCompatibility(reader, writer)
                        .getType()
                == SchemaCompatibilityType.COMPATIBLE;
    }

    private static Schema parse(String schema) {
        return new Schema.Parser().parse(schema);
    }
}
