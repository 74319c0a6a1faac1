package io.upliftstream.schemas;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.jspecify.annotations.NullMarked;

/**
 * Where the payloads of a claim check are. The reader's owner says where that is, never a record: of the URI in a record
 * only the last three steps are used, after they were found to be a day and hexadecimal digits.
 *
 * <pre>{@code
 * PayloadStore store = PayloadStore.directory(Path.of("/mnt/claims"));
 * FeatureRecord record = SingleObject.decode(value, FeatureRecord.class, store);
 * }</pre>
 *
 * <p>Any other store is a lambda, such as one that asks a service for a presigned URL of the name.
 */
@NullMarked
@FunctionalInterface
public interface PayloadStore {
    /**
     * Opens a payload. Its bytes are bounded, in length and time, and verified by who reads them.
     *
     * @param name below the directory of the claim check: {@code 2026-03-01/ab/abcd…}, the last step 64 digits
     */
    InputStream open(String name) throws IOException;

    /** A directory of this machine, or one that is mounted. */
    static PayloadStore directory(Path directory) {
        return name -> Files.newInputStream(directory.resolve(name));
    }

    /**
     * A directory on the web, such as a bucket that may be read there.
     *
     * @param client which follows redirects, or does not
     * @param directory whose URI ends in {@code /}
     */
    static PayloadStore web(HttpClient client, URI directory) {
        return name -> {
            HttpRequest request = HttpRequest.newBuilder(directory.resolve(name))
                    .timeout(Duration.ofSeconds(30))
                    .build();
            try {
                HttpResponse<InputStream> response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
                if (response.statusCode() != 200) {
                    response.body().close();
                    throw new IOException("status %d (expected: 200)".formatted(response.statusCode()));
                }
                return response.body();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted", e);
            }
        };
    }
}
