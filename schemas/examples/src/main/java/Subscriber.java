import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Prints which camera sees how much of a class, for every frame of the topic: {@code Subscriber localhost:9092 13}. */
public final class Subscriber {
    public static void main(String[] args) {
        int label = args.length > 1 ? Integer.parseInt(args[1]) : 13; // Cityscapes: cars
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", args.length > 0 ? args[0] : "localhost:9092",
                "group.id", "java-subscriber", // the next run goes on after what was read
                "auto.offset.reset", "earliest", // the first run: all that is on the topic
                "isolation.level", "read_committed"); // results of lossless mode only when they are final
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of("segmentation"));
            while (true) {
                for (ConsumerRecord<String, byte[]> message : consumer.poll(Duration.ofSeconds(1))) {
                    try {
                        System.out.println(describe(message.value(), label));
                    } catch (MalformedRecordException e) { // whatever is on the topic, the next record is read
                        System.out.printf("offset %d: %s%n", message.offset(), e.getMessage());
                    }
                }
            }
        }
    }

    private static String describe(byte[] value, int label) {
        SegmentationRecord record = SingleObject.decode(value, SegmentationRecord.class);
        byte[] labels = MaskCodec.decode(record.getMask()); // one at every pixel, row by row
        int pixels = 0;
        for (byte each : labels) {
            pixels += (each & 0xFF) == label ? 1 : 0;
        }
        return "%s, frame %d: %.1f %% of class %d"
                .formatted(
                        record.getHeader().getCameraId(),
                        record.getHeader().getSequence(),
                        100.0 * pixels / labels.length,
                        label);
    }
}
