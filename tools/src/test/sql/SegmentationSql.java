import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Camera, records, first and last sequence of a segmentation topic: arguments are brokers, topic and registry. */
public final class SegmentationSql {
    public static void main(String[] args) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inBatchMode());
        tables.executeSql(
                """
                CREATE TABLE segmentation (
                  header ROW<cameraId STRING NOT NULL, sequence BIGINT NOT NULL> NOT NULL,
                  name STRING NOT NULL,
                  mask ROW<width INT NOT NULL, height INT NOT NULL, data BYTES NOT NULL> NOT NULL
                ) WITH (
                  'connector' = 'kafka',
                  'properties.bootstrap.servers' = '%s',
                  'topic' = '%s',
                  'scan.startup.mode' = 'earliest-offset',
                  'scan.bounded.mode' = 'latest-offset',
                  'properties.isolation.level' = 'read_committed',
                  'format' = 'avro-confluent',
                  'avro-confluent.url' = '%s'
                )"""
                        .formatted(args[0], args[1], args[2]));
        TableResult result = tables.executeSql(
                """
                SELECT header.cameraId, COUNT(*), MIN(header.sequence), MAX(header.sequence)
                FROM segmentation WHERE mask.width > 0 GROUP BY header.cameraId""");
        try (CloseableIterator<Row> rows = result.collect()) {
            rows.forEachRemaining(row -> System.out.printf(
                    "%s %s %s %s%n", row.getField(0), row.getField(1), row.getField(2), row.getField(3)));
        }
    }
}
