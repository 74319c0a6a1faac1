package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.job.Frame.Digest;
import io.upliftstream.job.FrameProblem.Reason;
import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import io.upliftstream.schemas.Timings;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;

/**
 * What became of a frame, as Kafka records that fit their topics. Safe for use by many threads.
 *
 * <p>Nothing that a topic would refuse leaves here. A result above its topic's limit is a {@link FrameProblem}. A failure
 * record goes without the original bytes if these do not fit, then with a shorter message, then with shorter names and without
 * trace and model; and if not even that fits, there is none.
 */
final class RecordEncoder {
    /** The label of pixels that are not part of the frame: a letterbox's padding. */
    static final int IGNORE_LABEL = 255;

    /** Characters of a message where the whole one does not fit. */
    private static final int SHORT_MESSAGE = 200;

    /** Characters of a camera id where the whole one does not fit. */
    private static final int SHORT_ID = 32;

    private final JobSettings settings;
    private final Map<String, Integer> topicLimits;
    private final Framing framing;
    private final ModelIdentity model;
    private final List<String> classNames;
    private final @Nullable ClaimCheck claimCheck;

    /**
     * @param topicLimits the largest record of each topic in bytes, where it is known
     * @param claimCheck where large payloads go; null to leave all in their records
     */
    RecordEncoder(
            JobSettings settings,
            Map<String, Integer> topicLimits,
            Framing framing,
            ModelIdentity model,
            List<String> classNames,
            @Nullable ClaimCheck claimCheck) {
        this.settings = settings;
        this.topicLimits = topicLimits;
        this.framing = framing;
        this.model = model;
        this.classNames = classNames;
        this.claimCheck = claimCheck;
    }

    /**
     * A record for every head whose topic is not switched off, in the order of the heads. With a claim check for a thread
     * of {@link ClaimCheck#run}.
     *
     * @throws FrameProblem if one of them cannot be encoded or does not fit its topic
     */
    FrameOutcome.Result result(Frame frame, DenseResult result) throws FrameProblem {
        long start = System.nanoTime();
        List<OutputMessage> messages = new ArrayList<>();
        for (HeadOutput output : result.output().heads()) {
            Optional<String> topic = settings.topic(output.head().kind());
            if (topic.isPresent()) {
                OutputMessage message;
                try {
                    SpecificRecord record = record(frame, output, result);
                    if (claimCheck != null) {
                        claimCheck.checkIn(record);
                    }
                    message = message(topic.get(), frame, record);
                } catch (IllegalArgumentException e) { // from the codecs
                    throw new FrameProblem(
                            Stage.ENCODE,
                            Reason.NOT_ENCODABLE,
                            "result of head %s: %s".formatted(output.head().name(), e.getMessage()));
                }
                long limit = limit(message.topic());
                if (message.size() > limit) {
                    throw new FrameProblem(
                            Stage.PUBLISH,
                            Reason.RESULT_TOO_LARGE,
                            "result of head %s: %d bytes (expected: <= %d, the limit of topic %s)"
                                    .formatted(output.head().name(), message.size(), limit, message.topic()));
                }
                messages.add(message);
            }
        }
        long end = System.nanoTime();
        return new FrameOutcome.Result(messages, frame, result.timings(), end - start, end);
    }

    /** What a record about a record says, from everything down to what it is needed for. */
    private enum Detail {
        ORIGINAL,
        MESSAGE,
        NAMES,
        LEAST
    }

    /** As {@link #failure(RawFrame, Frame, FrameProblem, ClaimCheck)}, with the original in the record or nowhere. */
    FrameOutcome.Failure failure(RawFrame source, @Nullable Frame frame, FrameProblem problem) {
        return failure(source, frame, problem, null);
    }

    /**
     * The record of a frame without a result.
     *
     * @param frame null if the source could not be read so far
     * @param originals where a large original goes, for a thread of {@link ClaimCheck#run}; null to go without one
     */
    FrameOutcome.Failure failure(
            RawFrame source, @Nullable Frame frame, FrameProblem problem, @Nullable ClaimCheck originals) {
        byte[] original = source.value() == null ? new byte[0] : source.value();
        Digest digest = frame == null || frame.digest() == null ? Digest.of(original) : frame.digest();
        String topic = settings.get(OutputOptions.FAILURES_TOPIC);
        for (Detail detail : Detail.values()) {
            boolean inline = originals == null || !originals.takes(original);
            if (detail == Detail.ORIGINAL && (original.length == 0 || (inline && original.length > limit(topic)))) {
                continue;
            }
            boolean least = detail == Detail.LEAST;
            TraceContext trace = least ? TraceContext.NONE : frame == null ? source.trace() : frame.trace();
            RecordHeader.Builder header = header(source, trace).setModel(least ? null : model);
            byte[] key = source.key();
            if (frame == null) {
                String cameraId = BoundedText.decode(key);
                header.setCameraId(cameraId == null ? "" : least ? BoundedText.id(cameraId, SHORT_ID) : cameraId)
                        .setSequence(-1)
                        .setCaptureTimeMicros(source.timestampMillis() * 1000)
                        .setCaptureClock(CaptureClock.KAFKA);
                key = least && key != null ? header.getCameraId().getBytes(StandardCharsets.UTF_8) : key;
            } else {
                identify(header, frame, least);
                key = header.getCameraId().getBytes(StandardCharsets.UTF_8);
            }
            String message = String.valueOf(problem.getMessage());
            FrameFailure.Builder failure = FrameFailure.newBuilder()
                    .setHeader(header.build())
                    .setStage(problem.stage().toString())
                    .setReason(problem.reason())
                    .setMessage(
                            detail.compareTo(Detail.MESSAGE) > 0 ? BoundedText.start(message, SHORT_MESSAGE) : message)
                    .setOriginalLength(digest.length())
                    .setOriginalSha256(digest.sha256());
            if (detail == Detail.ORIGINAL) {
                failure.setOriginal(ByteBuffer.wrap(original));
            }
            FrameFailure built = failure.build();
            if (originals != null) {
                originals.checkIn(built);
            }
            OutputMessage record = new OutputMessage(topic, key, framing.encode(topic, built), trace);
            if (record.size() <= limit(topic)) {
                return new FrameOutcome.Failure(List.of(record), source, frame, problem);
            }
        }
        return new FrameOutcome.Failure(List.of(), source, frame, problem);
    }

    /** The record of frames that were let go. */
    FrameOutcome.Dropped dropped(Run run) {
        Frame first = run.first();
        String topic = settings.get(OutputOptions.DROPPED_TOPIC);
        for (boolean least : new boolean[] {false, true}) {
            TraceContext trace = least ? TraceContext.NONE : first.trace();
            RecordHeader header =
                    identify(header(first.source(), trace), first, least).build();
            FrameDropped dropped = FrameDropped.newBuilder()
                    .setHeader(header)
                    .setReason(run.reason().name())
                    .setCount(run.count())
                    .setLastSequence(run.last().sequence())
                    .setLastOffset(run.last().source().offset())
                    .setAgeMillis(run.maxAgeMillis())
                    .build();
            OutputMessage record = new OutputMessage(
                    topic,
                    header.getCameraId().getBytes(StandardCharsets.UTF_8),
                    framing.encode(topic, dropped),
                    trace);
            if (record.size() <= limit(topic)) {
                return new FrameOutcome.Dropped(List.of(record), run);
            }
        }
        return new FrameOutcome.Dropped(List.of(), run);
    }

    private SpecificRecord record(Frame frame, HeadOutput output, DenseResult result) {
        HeadSpec head = output.head();
        long start = System.nanoTime();
        RecordHeader.Builder header = identify(header(frame.source(), frame.trace()), frame, false)
                .setModel(model)
                .setGeometry(geometry(head, result.transform()));
        if (head.kind() == HeadKind.SEGMENTATION) {
            MaskEncoding encoding = settings.get(OutputOptions.MASK_FORMAT).encoding();
            Mask mask = mask(encoding, output, output.data(), result.transform(), IGNORE_LABEL);
            SegmentationRecord.Builder record = SegmentationRecord.newBuilder()
                    .setName(head.name())
                    .setClasses(head.channels())
                    .setClassNames(classNames)
                    .setMask(mask);
            ByteBuffer confidence = output.confidence();
            if (confidence != null && settings.get(OutputOptions.CONFIDENCE)) {
                // confidence has no runs
                MaskEncoding smooth = encoding == MaskEncoding.RLE ? MaskEncoding.RAW_ZSTD : encoding;
                record.setConfidence(mask(smooth, output, confidence, result.transform(), 0));
            }
            return record.setHeader(
                            header.setTimings(timings(result.timings(), start)).build())
                    .build();
        }
        Tensor tensor = tensor(output);
        return FeatureRecord.newBuilder()
                .setName(head.name())
                .setUnit(head.unit())
                .setTensor(tensor)
                .setHeader(header.setTimings(timings(result.timings(), start)).build())
                .build();
    }

    private static Mask mask(
            MaskEncoding encoding, HeadOutput output, ByteBuffer pixels, FrameTransform transform, int padding) {
        HeadSpec head = output.head();
        return MaskCodec.encode(
                encoding, output.inFrame(pixels, transform, (byte) padding), head.width(), head.height());
    }

    private Tensor tensor(HeadOutput output) {
        HeadSpec head = output.head();
        TensorType given =
                switch (head.dtype()) {
                    case FLOAT16 -> TensorType.FLOAT16;
                    case FLOAT32 -> TensorType.FLOAT32;
                    case UINT8 ->
                        throw new IllegalArgumentException(
                                "head " + head.name() + ": UINT8 (expected: FLOAT16 or FLOAT32)");
                };
        return TensorCodec.encode(
                output.data(),
                given,
                new TensorFormat(
                        List.of(head.channels(), head.height(), head.width()),
                        TensorLayout.CHW,
                        head.stride(),
                        null,
                        settings.get(OutputOptions.TENSOR_DTYPE).type(),
                        true,
                        settings.get(OutputOptions.TENSOR_COMPRESSION).compression(),
                        settings.get(OutputOptions.TENSOR_LEVELS)));
    }

    private static RecordHeader.Builder header(RawFrame source, TraceContext trace) {
        return RecordHeader.newBuilder()
                .setSource(new SourcePosition(
                        source.topic(), source.partition(), source.offset(), source.timestampMillis()))
                .setTraceparent(trace.traceparent())
                .setTracestate(trace.tracestate());
    }

    private static RecordHeader.Builder identify(RecordHeader.Builder header, Frame frame, boolean briefly) {
        return header.setCameraId(briefly ? BoundedText.id(frame.cameraId(), SHORT_ID) : frame.cameraId())
                .setSequence(frame.sequence())
                .setCaptureTimeMicros(frame.captureTimeMicros())
                .setCaptureClock(frame.captureClock());
    }

    private static Geometry geometry(HeadSpec head, FrameTransform transform) {
        return new Geometry(
                transform.frameWidth(),
                transform.frameHeight(),
                head.width(),
                head.height(),
                transform.scaleX() * head.stride(),
                transform.scaleY() * head.stride(),
                transform.offsetX(),
                transform.offsetY());
    }

    private static Timings timings(StageTimings timings, long encodeStart) {
        return new Timings(
                TimeUnit.NANOSECONDS.toMicros(timings.decodeNanos()),
                TimeUnit.NANOSECONDS.toMicros(timings.queueNanos()),
                TimeUnit.NANOSECONDS.toMicros(timings.backboneNanos()),
                TimeUnit.NANOSECONDS.toMicros(timings.upsampleNanos()),
                TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - encodeStart),
                timings.batchSize());
    }

    private OutputMessage message(String topic, Frame frame, SpecificRecord record) {
        return new OutputMessage(
                topic, frame.cameraId().getBytes(StandardCharsets.UTF_8), framing.encode(topic, record), frame.trace());
    }

    private long limit(String topic) {
        long most = settings.get(OutputOptions.OUTPUT_MAX_BYTES).getBytes();
        Integer limit = topicLimits.get(topic);
        return limit == null ? most : Math.min(limit, most);
    }
}
