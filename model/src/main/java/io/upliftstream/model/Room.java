package io.upliftstream.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether a device has memory for one more model beside those that run. What a graph needs while it computes is known to
 * nobody before it does, so that this is the least: too little is refused, enough may still be too little.
 */
final class Room {
    private static final Logger LOG = LoggerFactory.getLogger(Room.class);

    /** Weights are read, kept, and on a CPU packed once more for its instructions. */
    private static final int COPIES = 3;

    private Room() {}

    /**
     * Refuses a model.
     *
     * @param free bytes of the device; empty if it does not say
     * @throws BundleException if these are less than the weights and one batch take
     */
    static void require(ModelBundle bundle, ModelBundle.Variant variant, int maxBatch, OptionalLong free)
            throws BundleException {
        long needed = needed(bundle, variant, maxBatch);
        if (free.isPresent() && free.getAsLong() < needed) {
            throw new BundleException(
                    "bundle %s: no memory for a second model: %d MiB are free (expected: %d MiB, on the %s)"
                            .formatted(bundle, free.getAsLong() >> 20, needed >> 20, variant.device()));
        }
    }

    static long needed(ModelBundle bundle, ModelBundle.Variant variant, int maxBatch) {
        long frame = bundle.input().frameBytes() * (long) Float.BYTES
                + bundle.heads().stream().mapToLong(HeadSpec::frameBytes).sum();
        return COPIES * (variant.backbone().size() + variant.upsampler().size()) + maxBatch * frame;
    }

    /** What Linux could give this process: of the machine and, where it is in a container, of that. */
    static OptionalLong ofHost() {
        OptionalLong machine = first(Path.of("/proc/meminfo"), "MemAvailable:\\s+(\\d+) kB");
        OptionalLong limit = first(Path.of("/sys/fs/cgroup/memory.max"), "(\\d+)");
        OptionalLong used = first(Path.of("/sys/fs/cgroup/memory.current"), "(\\d+)");
        OptionalLong cached = first(Path.of("/sys/fs/cgroup/memory.stat"), "inactive_file (\\d+)");
        long most = machine.isPresent() ? machine.getAsLong() << 10 : Long.MAX_VALUE;
        if (limit.isPresent() && used.isPresent()) {
            most = Math.min(most, limit.getAsLong() - used.getAsLong() + cached.orElse(0));
        }
        return most == Long.MAX_VALUE ? OptionalLong.empty() : OptionalLong.of(most);
    }

    /** The number in the first line of a file that is all of the pattern. */
    private static OptionalLong first(Path file, String pattern) {
        if (!Files.isReadable(file)) {
            return OptionalLong.empty();
        }
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.matches(pattern))
                    .mapToLong(line -> Long.parseLong(line.replaceFirst(pattern, "$1")))
                    .findFirst();
        } catch (IOException | RuntimeException e) {
            LOG.debug("{} cannot be read", file, e);
            return OptionalLong.empty();
        }
    }
}
