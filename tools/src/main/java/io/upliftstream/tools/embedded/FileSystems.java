package io.upliftstream.tools.embedded;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.plugin.PluginUtils;

/** Flink's file systems in this process, those in {@code FLINK_PLUGINS_DIR} as well. */
public final class FileSystems {
    private FileSystems() {}

    /** Makes them known, and configures them: {@code s3.endpoint} and the like. */
    public static void load(Configuration configuration) {
        FileSystem.initialize(configuration, PluginUtils.createPluginManagerFromRootFolder(configuration));
    }
}
