package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.ConfigOption;

/** What the job writes, each kind to a topic of its own. */
public enum RecordKind {
    SEGMENTATION(SegmentationRecord.class),
    FEATURES(FeatureRecord.class),
    DEPTH(FeatureRecord.class),
    FAILURES(FrameFailure.class),
    DROPPED(FrameDropped.class);

    private final Class<? extends SpecificRecord> type;

    RecordKind(Class<? extends SpecificRecord> type) {
        this.type = type;
    }

    /** The option that names the topic. */
    public ConfigOption<String> topic() {
        return switch (this) {
            case SEGMENTATION -> JobSettings.SEGMENTATION_TOPIC;
            case FEATURES -> JobSettings.FEATURES_TOPIC;
            case DEPTH -> JobSettings.REGRESSION_TOPIC;
            case FAILURES -> JobSettings.FAILURES_TOPIC;
            case DROPPED -> JobSettings.DROPPED_TOPIC;
        };
    }

    /** Whether its records hold a label or a vector at every pixel. */
    public boolean dense() {
        return type == SegmentationRecord.class || type == FeatureRecord.class;
    }

    /** The record in a value. */
    public SpecificRecord decode(byte[] value) {
        return SingleObject.decode(value, type);
    }

    /** The header of a record of any kind. */
    public static RecordHeader header(SpecificRecord record) {
        if (record instanceof SegmentationRecord labels) {
            return labels.getHeader();
        } else if (record instanceof FeatureRecord tensor) {
            return tensor.getHeader();
        } else if (record instanceof FrameFailure failure) {
            return failure.getHeader();
        }
        return ((FrameDropped) record).getHeader();
    }
}
