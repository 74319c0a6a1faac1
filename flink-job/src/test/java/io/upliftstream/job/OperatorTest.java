package io.upliftstream.job;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.runtime.operators.testutils.MockEnvironmentBuilder;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.Mail;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;

/** What tests of the operator share: Flink's harness around it, an engine and a clock that a test sets. */
@Timeout(30)
abstract class OperatorTest {
    private static final RecordDecoder RECORDS = new RecordDecoder();

    final TestingEngine engine = new TestingEngine();
    final TestingClock clock = new TestingClock();
    /** What operators look at. */
    Clock operatorClock = clock;

    Framing recordFraming = Framing.SINGLE_OBJECT;

    final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        engine.answerAll(); // the harness drains when it is closed
        for (AutoCloseable harness : opened) {
            harness.close();
        }
    }

    OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> open(String... settings) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                harness(TestFrames.settings(settings), KafkaPackets::new, new MockEnvironmentBuilder());
        harness.open();
        return harness;
    }

    /** Not open yet. */
    final OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness(
            JobSettings settings, PacketReader.Factory packets, MockEnvironmentBuilder environment) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = new OneInputStreamOperatorTestHarness<>(
                new DenseInferenceOperator.Factory(
                        settings,
                        again -> Map.of(),
                        recordFraming,
                        (unused, subtask) -> engine,
                        operatorClock,
                        null,
                        packets),
                environment.build());
        opened.add(harness);
        return harness;
    }

    /** Answers every submission from one on, in another thread. */
    CompletableFuture<Void> answerAll(int from) {
        AtomicBoolean done = new AtomicBoolean();
        CompletableFuture<Void> answering = new CompletableFuture<>();
        CompletableFuture<?> unused = answering.whenComplete((nothing, cancelled) -> done.set(true));
        Thread thread = new Thread(() -> {
            for (int next = from; !done.get(); ) {
                if (next < engine.submitted.size()) {
                    engine.answer(next++);
                }
                Thread.onSpinWait();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return answering;
    }

    static RawFrame recorded(long millisLater, String cameraId, long sequence) {
        RawFrame frame = TestFrames.cameraFrame(cameraId, sequence);
        return new RawFrame(
                frame.topic(),
                frame.partition(),
                frame.offset(),
                frame.timestampMillis() + millisLater,
                frame.key(),
                frame.value(),
                frame.trace());
    }

    /** Camera and sequence of the segmentation records, as they left. */
    static List<String> results(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "segmentation", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getCameraId() + " "
                        + record.getHeader().getSequence())
                .toList();
    }

    static void process(OneInputStreamOperatorTestHarness<RawFrame, ?> harness, RawFrame frame) throws Exception {
        harness.processElement(new StreamRecord<>(frame));
    }

    /** The input ends, and with it the job. */
    static void finish(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness) throws Exception {
        harness.endInput();
        ((DenseInferenceOperator) harness.getOperator()).finish();
        runMails(harness);
    }

    static void runMails(OneInputStreamOperatorTestHarness<?, ?> harness) throws Exception {
        for (var mail = harness.getTaskMailbox().tryTake(0); mail.isPresent(); ) {
            Mail next = mail.get();
            next.run();
            mail = harness.getTaskMailbox().tryTake(0);
        }
    }

    static <T extends org.apache.avro.specific.SpecificRecord> List<T> decode(
            OneInputStreamOperatorTestHarness<?, OutputMessage> harness, String topic, Class<T> type) {
        return harness.extractOutputValues().stream()
                .filter(message -> message.topic().equals(topic))
                .map(message -> RECORDS.decode(message.value(), type))
                .toList();
    }

    /** Frames that the records of drops count. */
    static long dropped(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "dropped", FrameDropped.class).stream()
                .mapToLong(FrameDropped::getCount)
                .sum();
    }

    /** Sequences of the segmentation and failure records, as they left. */
    static List<Long> sequences(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return headers(harness).stream().map(RecordHeader::getSequence).toList();
    }

    static List<Long> offsets(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return headers(harness).stream()
                .map(header -> header.getSource().getOffset())
                .toList();
    }

    static List<RecordHeader> headers(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        List<RecordHeader> headers = new ArrayList<>();
        for (OutputMessage message : harness.extractOutputValues()) {
            switch (message.topic()) {
                case "segmentation" ->
                    headers.add(RECORDS.decode(message.value(), SegmentationRecord.class)
                            .getHeader());
                case "failures" ->
                    headers.add(
                            RECORDS.decode(message.value(), FrameFailure.class).getHeader());
                case "dropped" ->
                    headers.add(
                            RECORDS.decode(message.value(), FrameDropped.class).getHeader());
                default -> {}
            }
        }
        return headers;
    }

    /** A clock that a test sets. */
    static final class TestingClock extends Clock {
        volatile long millis = TestFrames.RECORDED;

        @Override
        public long millis() {
            return millis;
        }

        @Override
        public Instant instant() {
            return Instant.ofEpochMilli(millis);
        }

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }
    }
}
