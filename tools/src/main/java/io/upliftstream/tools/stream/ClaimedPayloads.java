package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.PayloadStore;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.tools.embedded.FileSystems;
import java.time.Duration;
import java.util.Optional;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.core.fs.Path;

/**
 * Puts payloads in the place of the references to them, from the directory that the settings name and from nowhere else.
 * Without one, records stay as they are, and the codecs say so of those that refer to something.
 */
public final class ClaimedPayloads {
    private static final long MAX_BYTES =
            Math.min(Payloads.MAX_BYTES, Runtime.getRuntime().maxMemory() / 8);

    private final Optional<PayloadStore> store;
    private final Duration patience;

    /** @param patience for each payload */
    public ClaimedPayloads(JobSettings settings, Duration patience) {
        this.patience = patience;
        settings.claimCheckDirectory().ifPresent(unused -> FileSystems.load(settings.flinkConfiguration()));
        store = settings.claimCheckDirectory().map(Path::new).map(directory -> name -> {
            Path file = new Path(directory, name);
            return file.getFileSystem().open(file);
        });
    }

    /**
     * Makes a record what it was before its payloads went elsewhere.
     *
     * @return the bytes of these payloads
     * @throws MalformedRecordException if one cannot be had, or is not the one that the record names
     */
    public long fetch(SpecificRecord record) {
        return store.map(from -> Payloads.fetch(record, from, MAX_BYTES, patience))
                .orElse(0L);
    }
}
