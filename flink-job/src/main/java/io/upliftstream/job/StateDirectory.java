package io.upliftstream.job;

import com.sun.security.auth.module.UnixSystem;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Where files go that outlive a process and that nobody named a place for: {@code $XDG_STATE_HOME/uplift-stream}, by
 * default {@code ~/.local/state/uplift-stream}, for this user alone.
 *
 * <p>A directory that others can foresee and write to, such as one under {@code /tmp}, lets them lay links in it, through
 * which this user's files would be written to.
 */
public final class StateDirectory {
    private static final String NAME = "uplift-stream";
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rwx------");
    private static final Set<PosixFilePermission> OTHERS_WRITE = PosixFilePermissions.fromString("----w--w-");

    private StateDirectory() {}

    /**
     * A directory in it, which is created if it is missing.
     *
     * @throws StartupException if it cannot be, or is not this user's alone: a link, another user's, or for others to
     *     write to
     */
    public static Path of(String name) {
        return own(own(home(System.getenv())).resolve(name));
    }

    /** As the XDG Base Directory Specification has it, by which a relative path does not count. */
    static Path home(Map<String, String> environment) {
        String given = environment.get("XDG_STATE_HOME");
        String user = environment.get("HOME");
        Path home = absolute(given) ? Path.of(given) : absolute(user) ? Path.of(user) : null;
        if (home == null) {
            throw refusal(Path.of(NAME), "no HOME", "XDG_STATE_HOME or HOME to name an absolute path");
        }
        return (absolute(given) ? home : home.resolve(Path.of(".local", "state"))).resolve(NAME);
    }

    private static boolean absolute(@Nullable String path) {
        return path != null && path.startsWith("/");
    }

    /** The directory itself, created and looked at. */
    static Path own(Path directory) {
        try {
            Files.createDirectories(directory.toAbsolutePath().getParent());
            try {
                Files.createDirectory(directory, PosixFilePermissions.asFileAttribute(OWNER_ONLY));
            } catch (FileAlreadyExistsException e) {
                // It is looked at like any other.
            }
            PosixFileAttributes found =
                    Files.readAttributes(directory, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
            if (!found.isDirectory()) {
                throw refusal(directory, found.isSymbolicLink() ? "a link" : "not a directory", "a directory");
            }
            Object owner = Files.getAttribute(directory, "unix:uid", LinkOption.NOFOLLOW_LINKS);
            long user = new UnixSystem().getUid();
            if (!String.valueOf(user).equals(String.valueOf(owner))) {
                throw refusal(directory, "it belongs to user " + owner, "to this user, " + user);
            }
            if (found.permissions().stream().anyMatch(OTHERS_WRITE::contains)) {
                throw refusal(
                        directory,
                        PosixFilePermissions.toString(found.permissions()) + ", others may write to it",
                        "rwx------");
            }
            return directory;
        } catch (IOException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "state directory %s: %s (expected: a directory that can be created, or XDG_STATE_HOME to name another)"
                            .formatted(directory, e),
                    e);
        }
    }

    private static StartupException refusal(Path directory, String found, String expected) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "state directory %s: %s (expected: %s)".formatted(directory, found, expected));
    }
}
