package io.upliftstream.schemas;

import java.util.List;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.avro.util.ClassSecurityValidator;
import org.apache.avro.util.ClassSecurityValidator.ClassSecurityPredicate;
import org.jspecify.annotations.NullMarked;

/**
 * Superclass of the generated records, which makes Avro trust them.
 *
 * <p>Since 1.12.2 Avro refuses to load generated classes until {@code org.apache.avro.SERIALIZABLE_PACKAGES} names their
 * package; a subscriber shall not need a system property, so loading any record adds all of them, and nothing else.
 */
@NullMarked
public abstract class TrustedRecord extends SpecificRecordBase {
    static {
        // Only Avro's own objects and names: a lambda would keep this class loader alive for as long as Avro's.
        ClassSecurityPredicate trusted = ClassSecurityValidator.getGlobal();
        if (!trusted.isTrusted(Mask.class)) {
            ClassSecurityValidator.Builder records = ClassSecurityValidator.builder();
            List.of(
                            CameraFrame.class,
                            VideoPacket.class,
                            VideoCodec.class,
                            SegmentationRecord.class,
                            FeatureRecord.class,
                            FrameFailure.class,
                            FrameDropped.class,
                            ModelCommand.class,
                            ModelAnswer.class,
                            ModelAction.class,
                            ModelOutcome.class,
                            RecordHeader.class,
                            SourcePosition.class,
                            ModelIdentity.class,
                            Geometry.class,
                            Timings.class,
                            Mask.class,
                            Tensor.class,
                            PayloadReference.class,
                            CaptureClock.class,
                            MaskEncoding.class,
                            TensorLayout.class,
                            TensorType.class,
                            Compression.class)
                    .forEach(records::add);
            ClassSecurityValidator.setGlobal(ClassSecurityValidator.composite(trusted, records.build()));
        }
    }
}
