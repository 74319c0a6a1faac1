package io.upliftstream.tools.cli;

import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.jspecify.annotations.Nullable;

/** Kinds of records that are made to hurt a job. */
enum Hostility {
    /** Camera ids and keys of a megabyte. */
    IDS {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            String name = number + LONG;
            return to(topic, name, avro(name, number, IMAGE));
        }
    },
    /** Ten thousand headers, and a trace context of a megabyte. */
    HEADERS {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            return new ProducerRecord<>(topic, null, key(CAMERA), avro(CAMERA, number, IMAGE), HEADERS_OF_A_RECORD);
        }
    },
    /** JPEGs that visit 49 megapixels as often as a JPEG may, and others that do so more often. */
    SCANS {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            return to(topic, CAMERA, avro(CAMERA, number, number % 4 == 0 ? Scans.ALLOWED : Scans.TOO_MANY));
        }
    },
    /** A hundred bytes that claim to be as many pixels as an image may have. */
    CLAIMS {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            byte[] claims = IMAGE.clone();
            claims[17] = 0x00; // of the PNG's width
            claims[18] = 0x1b;
            claims[22] = (byte) (number % 2 == 0 ? 0x1b : 0x7f); // of its height
            return to(topic, CAMERA, avro(CAMERA, number, claims));
        }
    },
    /** A backlog that is an hour old, of cameras with long names that come once. */
    STALE {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            String name = "stale-" + number + LONG.substring(0, 1 << 14);
            long then = System.currentTimeMillis() - TimeUnit.HOURS.toMillis(1);
            return new ProducerRecord<>(topic, null, then, key(name), avro(name, 1, IMAGE));
        }
    },
    /** One camera and sequence again and again, now and then from the future. */
    DUPLICATES {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            long then = System.currentTimeMillis() + (number % 10 == 0 ? TimeUnit.HOURS.toMillis(1) : 0);
            return new ProducerRecord<>(topic, null, then, key(CAMERA), avro(CAMERA, 1, IMAGE));
        }
    },
    /** No key, no value, neither. */
    NOTHING {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            return switch ((int) (number % 4)) {
                case 0 -> new ProducerRecord<>(topic, null, null);
                case 1 -> new ProducerRecord<>(topic, key(CAMERA), null);
                case 2 -> new ProducerRecord<>(topic, null, IMAGE);
                default -> to(topic, CAMERA, new byte[0]);
            };
        }
    },
    /** Records whose lengths, blocks and choices lead anywhere. */
    AVRO {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            Random random = new Random(number);
            byte[] value = avro(CAMERA, number, IMAGE);
            int header = 10; // marker and fingerprint
            for (int i = 0; i <= random.nextInt(8); i++) {
                value[header + random.nextInt(value.length - header)] =
                        (byte) (random.nextBoolean() ? 0xff : random.nextInt());
            }
            return to(topic, CAMERA, number % 3 == 0 ? Arrays.copyOf(value, random.nextInt(value.length)) : value);
        }
    },
    /** Values of 8 MB that travel as a kilobyte. */
    ZSTD {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            return to(topic, CAMERA, ZEROS);
        }
    },
    /** Images whose results are as large as they can be; and what no job wrote lies between its results. */
    OUTPUTS {
        @Override
        ProducerRecord<byte[], byte[]> frame(String topic, long number) {
            return to(topic, CAMERA, avro(CAMERA, number, NOISE));
        }
    };

    static final String CAMERA = "hostile";

    private static final String LONG = "n".repeat(1 << 20);
    private static final byte[] IMAGE = png(16, 8, null);
    private static final byte[] NOISE = png(640, 320, new Random(1));
    private static final byte[] ZEROS = new byte[8 << 20];
    private static final List<Header> HEADERS_OF_A_RECORD = headers();

    /** The record of that number, for the job's input topic. */
    abstract ProducerRecord<byte[], byte[]> frame(String topic, long number);

    /** The same image in a frame of a camera that means well. */
    static byte[] honest(String camera, long sequence) {
        return avro(camera, sequence, IMAGE);
    }

    /** What a reader of an output topic meets that no job wrote. */
    static byte @Nullable [] poison(long number) {
        byte[] poison = new byte[64];
        new Random(number).nextBytes(poison);
        return number % 3 == 0 ? null : poison;
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }

    private static byte[] avro(String camera, long sequence, byte[] image) {
        return SingleObject.encode(Topics.frame(camera, sequence, image)
                .setCaptureTimeMicros(1000 * System.currentTimeMillis())
                .build());
    }

    private static ProducerRecord<byte[], byte[]> to(String topic, String key, byte[] value) {
        return new ProducerRecord<>(topic, key(key), value);
    }

    private static byte[] key(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static List<Header> headers() {
        Header noise = new RecordHeader("noise", new byte[50]);
        return IntStream.range(0, 10_000)
                .mapToObj(i -> i == 5000 ? new RecordHeader("traceparent", new byte[1 << 20]) : noise)
                .toList();
    }

    private static byte[] png(int width, int height, @Nullable Random noise) {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; noise != null && i < width * height; i++) {
            image.setRGB(i % width, i / width, noise.nextInt());
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            ImageIO.write(image, "png", bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    /** Progressive JPEGs of 7,000 by 7,000 grey pixels. */
    private static final class Scans {
        static final byte[] ALLOWED = jpeg(8);
        static final byte[] TOO_MANY = jpeg(3000);

        private static byte[] jpeg(int more) {
            ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
            ImageWriteParam progressive = writer.getDefaultWriteParam();
            progressive.setProgressiveMode(ImageWriteParam.MODE_DEFAULT);
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (var output = ImageIO.createImageOutputStream(bytes)) {
                writer.setOutput(output);
                BufferedImage grey = new BufferedImage(7000, 7000, BufferedImage.TYPE_BYTE_GRAY);
                writer.write(null, new IIOImage(grey, null, null), progressive);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            byte[] jpeg = bytes.toByteArray();
            int end = jpeg.length - 2; // before the end-of-image marker
            int scan = end - 1;
            while ((jpeg[scan] & 0xff) != 0xff || (jpeg[scan + 1] & 0xff) != 0xda) {
                scan--;
            }
            ByteArrayOutputStream scans = new ByteArrayOutputStream();
            scans.write(jpeg, 0, end);
            // The scan refines a bit that is refined already: a decoder warns, and works.
            for (int i = 0; i < more; i++) {
                scans.write(jpeg, scan, end - scan);
            }
            scans.write(jpeg, end, 2);
            return scans.toByteArray();
        }
    }
}
