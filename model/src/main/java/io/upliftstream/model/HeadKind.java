package io.upliftstream.model;

/** What a head computes at every output pixel. */
public enum HeadKind {
    /** A class id, and on request how sure the model is of it. */
    SEGMENTATION,
    /** A feature vector. */
    FEATURES,
    /** Numbers with a unit, such as depth in metres. */
    REGRESSION
}
