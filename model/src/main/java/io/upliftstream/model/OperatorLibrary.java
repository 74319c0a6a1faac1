package io.upliftstream.model;

import com.sun.jna.Platform;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The library of {@code model/cuda}: operators that a GPU computes the upsampler with, and {@link Lane}s. DJL loads the
 * libraries that {@value #VARIABLE} names, between commas, as PyTorch starts; without all of them PyTorch does not start.
 */
final class OperatorLibrary {
    static final String NAME = "uplift_operators";
    static final String VARIABLE = "PYTORCH_EXTRA_LIBRARY_PATH";

    private static final int ELF_HEADER_BYTES = 64;
    private static final int ELF_MAGIC = 0x464C457F;

    private OperatorLibrary() {}

    /**
     * The library's file, if the variable names one.
     *
     * @param libraries the variable's value; null if it is not set
     * @throws BundleException if it is not there, or not whole: the system's loader would end the process; or if the variable is
     *     set and empty, with which PyTorch does not start
     */
    static Optional<Path> find(@Nullable String libraries) throws BundleException {
        if (libraries != null && libraries.isBlank()) {
            throw new BundleException(VARIABLE + ": empty (expected: a library's file, or no such variable)");
        }
        Optional<Path> named = Stream.of(libraries == null ? new String[0] : libraries.split(","))
                .map(Path::of)
                .filter(file -> String.valueOf(file.getFileName()).contains(NAME))
                .findFirst();
        if (named.isPresent()) {
            check(named.get());
        }
        return named;
    }

    private static void check(Path file) throws BundleException {
        if (!Files.isRegularFile(file)) {
            throw fault(file, "no such file", "what model/cuda/build made");
        }
        if (!Platform.isLinux()) {
            return;
        }
        try (FileChannel channel = FileChannel.open(file)) {
            ByteBuffer header = ByteBuffer.allocate(ELF_HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            while (header.hasRemaining() && channel.read(header) >= 0) {}
            if (header.hasRemaining() || header.getInt(0) != ELF_MAGIC) {
                throw fault(file, channel.size() + " bytes that are no library", "what model/cuda/build made");
            }
            // Linkers write the table of sections last.
            long sections = header.getLong(40);
            int bytesOfOne = Short.toUnsignedInt(header.getShort(58));
            long end = sections + (long) bytesOfOne * Short.toUnsignedInt(header.getShort(60));
            if (end > channel.size()) {
                throw fault(file, channel.size() + " bytes", "all of its " + end + "; copied whole, then renamed");
            }
        } catch (IOException e) {
            throw new BundleException("%s: %s cannot be read: %s".formatted(VARIABLE, file, e), e);
        }
    }

    private static BundleException fault(Path file, String found, String expected) {
        return new BundleException("%s: %s: %s (expected: %s)".formatted(VARIABLE, file, found, expected));
    }

    /** What a GPU loses without the library, or with a variant without a graph for it, in a sentence; else empty. */
    static Optional<String> lossOnGpu(Variant variant, Optional<Path> library) {
        if (library.isPresent() && variant.operators() != null) {
            return Optional.empty();
        }
        String portable = "the upsampler runs its portable graph; in a trial on an H200 a kernel for the attention pool"
                + " alone made it 1.6 to 1.8 times as fast";
        return Optional.of(
                library.isPresent()
                        ? "variant %s has no graph for %s: %s".formatted(variant.name(), NAME, portable)
                        : "%s names no %s: %s; nor are there CUDA graphs, which took a frame from 4.7 to 3.0 ms there"
                                .formatted(VARIABLE, NAME, portable));
    }

    /** A message of PyTorch's with what was expected, where it is about the operators. */
    static String explained(String message) {
        if (message.contains("uplift::")) {
            return message + " (expected: the operators of this bundle, from the library in " + VARIABLE + ")";
        }
        if (message.contains(NAME)) {
            return message + " (expected of " + VARIABLE + ": a library for this libtorch, 2.7 or newer)";
        }
        return message;
    }
}
