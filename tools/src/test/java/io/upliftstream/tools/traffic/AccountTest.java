package io.upliftstream.tools.traffic;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class AccountTest {
    private static final long CAPTURED = 1_000;

    private final Account account = new Account(Set.of("classes", "depth"));

    @Test
    void framesThatEndOnceInOrderAreExactlyOnce() {
        publish("north", 3);
        publish("south", 4);
        result(header("north", 0));
        failed(header("north", 1));
        result(header("north", 2));
        result(header("south", 0));
        assertThat(account.open()).isEqualTo(3);
        dropped("south", 1, 3, 3);
        assertThat(account.open()).isZero();
        assertThat(account.balance()).isEqualTo(new Account.Balance(7, 3, 1, 3, 0, 0, 0, 0, 0));
        assertThat(account.balance().exactlyOnce()).isTrue();
        assertThat(account.served()).isEqualTo(Map.of("north", 2 / 3., "south", 1 / 4.));
        assertThat(account.drops()).isEqualTo(Map.of("MAX_AGE", 3L));
        assertThat(account.latencyMillis(99)).isEqualTo(150);
    }

    @Test
    void aResultNeedsARecordOfEveryHead() {
        publish("north", 1);
        account.read(classes(header("north", 0)), 1_100);
        assertThat(account.balance().lost()).isOne();
        assertThat(account.balance().atLeastOnce()).isFalse();
        account.read(depth(header("north", 0)), 1_150);
        assertThat(account.balance().exactlyOnce()).isTrue();
    }

    @Test
    void repeatsAreForgivenWhereAtLeastOnceIsEnough() {
        publish("north", 3);
        for (long sequence : new long[] {0, 1, 0, 1, 2}) {
            result(header("north", sequence));
        }
        assertThat(account.balance().repeated()).isEqualTo(2);
        assertThat(account.balance().exactlyOnce()).isFalse();
        assertThat(account.balance().atLeastOnce()).isTrue();
    }

    @Test
    void aFrameThatWasNotAcknowledgedIsOwedOnlyOnceSomethingOfItIsRead() {
        publish("north", 4);
        result(header("north", 0));
        account.withdraw("north", 0); // the acknowledgement came too late, the result did not
        account.read(classes(header("north", 1)), 1_100);
        account.withdraw("north", 1);
        account.withdraw("north", 2);
        account.withdraw("north", 3);
        assertThat(account.open()).isOne();
        account.read(depth(header("north", 1)), 1_150);
        assertThat(account.balance()).isEqualTo(new Account.Balance(2, 2, 0, 0, 0, 0, 0, 0, 0));
        assertThat(account.ends()).isEqualTo(Map.of("north", new Account.Ends(2, 2, 0, 0)));

        account.read(classes(header("north", 3)), 1_200);
        assertThat(account.balance().lost()).isOne();
        account.read(depth(header("north", 3)), 1_250);
        assertThat(account.balance()).isEqualTo(new Account.Balance(3, 3, 0, 0, 0, 0, 0, 0, 0));
    }

    @Test
    void aResultThatIsAlsoDroppedIsARepeat() {
        publish("north", 1);
        result(header("north", 0));
        dropped("north", 0, 0, 1);
        assertThat(account.balance()).isEqualTo(new Account.Balance(1, 1, 0, 0, 0, 1, 0, 0, 0));
    }

    @Test
    void aRepeatThatNamesAnotherSourceCannotBeTold() {
        publish("north", 1);
        result(header("north", 0));
        failed(header("north", 0, 77));
        assertThat(account.balance().unidentified()).isOne();
        assertThat(account.balance().atLeastOnce()).isFalse();
    }

    @Test
    void aFirstRecordBehindALaterFrameIsMisordered() {
        publish("north", 2);
        result(header("north", 1));
        result(header("north", 0));
        assertThat(account.balance().misordered()).isEqualTo(2);
        assertThat(account.balance().exactlyOnce()).isFalse();
    }

    @Test
    void recordsOfFramesThatNobodyPublishedAreStrangers() {
        publish("north", 1);
        result(header("north", 0));
        result(header("north", 1));
        failed(header("south", 0));
        assertThat(account.balance().strangers()).isEqualTo(3);
    }

    @Test
    void whatIsWrongIsSaid() {
        publish("north", 2);
        result(header("north", 0));
        result(header("north", 0));
        assertThat(account.balance().irregularities())
                .containsExactly("1 frames did not end", "1 frames ended more than once");
        assertThat(account.ended("north", 0)).isTrue();
        assertThat(account.ended("north", 1)).isFalse();
        assertThat(account.ends()).isEqualTo(Map.of("north", new Account.Ends(2, 1, 0, 0)));
    }

    @Test
    void aDropRunThatMiscountsIsNoticed() {
        publish("north", 3);
        dropped("north", 0, 2, 2);
        assertThat(account.balance().exactlyOnce()).isFalse();
    }

    private void publish(String camera, int frames) {
        for (int sequence = 0; sequence < frames; sequence++) {
            account.published(camera, sequence);
        }
    }

    private void result(RecordHeader header) {
        account.read(classes(header), CAPTURED + 100);
        account.read(depth(header), CAPTURED + 150);
    }

    private void failed(RecordHeader header) {
        FrameFailure failure = FrameFailure.newBuilder()
                .setHeader(header)
                .setStage("decode")
                .setReason("CORRUPT_IMAGE")
                .setMessage("")
                .setOriginalLength(0)
                .setOriginalSha256("")
                .build();
        account.read(failure, 1_200);
    }

    private static SegmentationRecord classes(RecordHeader header) {
        return SegmentationRecord.newBuilder()
                .setHeader(header)
                .setName("classes")
                .setClasses(1)
                .setClassNames(List.of())
                .setMask(MaskCodec.encode(MaskEncoding.RLE, new byte[1], 1, 1))
                .build();
    }

    private static FeatureRecord depth(RecordHeader header) {
        return FeatureRecord.newBuilder()
                .setHeader(header)
                .setName("depth")
                .setTensor(TensorCodec.encode(
                        new float[1],
                        new TensorFormat(
                                List.of(1, 1, 1),
                                TensorLayout.CHW,
                                1,
                                null,
                                TensorType.FLOAT32,
                                false,
                                Compression.NONE,
                                2)))
                .build();
    }

    private static RecordHeader header(String camera, long sequence) {
        return header(camera, sequence, 10 + sequence);
    }

    private static RecordHeader header(String camera, long sequence, long offset) {
        return RecordHeader.newBuilder()
                .setCameraId(camera)
                .setSequence(sequence)
                .setCaptureTimeMicros(CAPTURED * 1000)
                .setCaptureClock(CaptureClock.PUBLISHER)
                .setSource(new SourcePosition("camera-frames", 0, offset, CAPTURED))
                .build();
    }

    private void dropped(String camera, long first, long last, long count) {
        FrameDropped run = FrameDropped.newBuilder()
                .setHeader(header(camera, first))
                .setReason("MAX_AGE")
                .setCount(count)
                .setLastSequence(last)
                .setLastOffset(10 + last)
                .setAgeMillis(2_000)
                .build();
        account.read(run, 1_300);
    }
}
