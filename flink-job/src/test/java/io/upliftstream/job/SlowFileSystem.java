package io.upliftstream.job;

import java.io.IOException;
import java.net.URI;
import java.util.concurrent.Semaphore;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.fs.local.LocalFileSystem;

/** The local disk under {@code slow:}, where a file takes a while, or comes when a test lets it, and replaces none. */
final class SlowFileSystem extends LocalFileSystem {
    private static final int MANY = 1 << 20;

    private static volatile long millis;

    /** Each file takes a permit, and hears no interrupt meanwhile. */
    static volatile Semaphore gate = new Semaphore(MANY);

    /** The file that was made last. */
    static volatile Path created = new Path("/");

    /** Made by Flink, which finds it as a service. */
    public static final class Factory implements FileSystemFactory {
        @Override
        public String getScheme() {
            return "slow";
        }

        @Override
        public FileSystem create(URI uri) {
            return new SlowFileSystem();
        }
    }

    static void answersWithin(long each) {
        millis = each;
        gate.release(MANY);
    }

    static void answersNothing() {
        millis = 0;
        gate = new Semaphore(0);
    }

    @Override
    public URI getUri() {
        return URI.create("slow:/");
    }

    /** As HDFS does. */
    @Override
    public boolean rename(Path from, Path to) throws IOException {
        return !exists(to) && super.rename(from, to);
    }

    @Override
    public FSDataOutputStream create(Path path, WriteMode mode) throws IOException {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
        gate.acquireUninterruptibly();
        created = path;
        return super.create(path, mode);
    }
}
