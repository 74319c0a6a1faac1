package io.upliftstream.sql;

import java.io.IOException;
import java.net.URI;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.fs.local.LocalFileSystem;

/** The local disk under {@code late:}, where each file opens, as with flink-s3-fs-presto, and none can be read. */
final class LateFileSystem extends LocalFileSystem {
    /** Made by Flink, which finds it as a service. */
    public static final class Factory implements FileSystemFactory {
        @Override
        public String getScheme() {
            return "late";
        }

        @Override
        public FileSystem create(URI uri) {
            return new LateFileSystem();
        }
    }

    @Override
    public URI getUri() {
        return URI.create("late:/");
    }

    @Override
    @SuppressWarnings("InputStreamSlowMultibyteRead") // none is read
    public FSDataInputStream open(Path path) {
        return new FSDataInputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("no bytes");
            }

            @Override
            public void seek(long position) {}

            @Override
            public long getPos() {
                return 0;
            }
        };
    }
}
