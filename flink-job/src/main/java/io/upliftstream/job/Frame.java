package io.upliftstream.job;

import io.upliftstream.schemas.CaptureClock;

/**
 * One frame of one camera, its image still encoded.
 *
 * @param sequence number of the frame at its camera; for a bare image the offset of its Kafka record
 * @param captureTimeMicros since 1970-01-01T00:00:00Z
 * @param image JPEG or PNG; nobody changes it
 * @param source the Kafka record that held the frame
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Frame(
        String cameraId,
        long sequence,
        long captureTimeMicros,
        CaptureClock captureClock,
        byte[] image,
        TraceContext trace,
        RawFrame source) {}
