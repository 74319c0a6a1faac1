package io.upliftstream.tools.cli;

import picocli.CommandLine.Command;

/** {@code uplift bench}. */
@Command(
        name = "bench",
        description = "Measures the job and its parts.",
        footer = {
            "",
            "Examples:",
            "  uplift bench load                       latency, drops and throughput over the offered load",
            "  uplift bench load --quick               the same in about two minutes, too short for good percentiles",
            "  uplift bench load --packets --modes live --loads 5   H.264 at five times the capacity",
            "  uplift bench codecs --input street.mp4  JPEG, masks and features: time, size and what they lose",
            "  uplift bench model --against other/bundle   stages, memory, and which is faster",
            "  uplift bench model --against model/bundles/street:int8   one bundle at two precisions",
            "  uplift bench pipeline                   what Kafka and Flink add to a plain loop",
            "  uplift bench video                      a camera of 1080p as JPEGs and as packets: cores of the job",
            "  uplift bench scale                      what a camera costs, from one to a thousand",
            "  uplift bench load --modes live --loads 3 --seconds 1800   half an hour at three times the capacity",
        },
        subcommands = {
            BenchLoadCommand.class,
            BenchCodecsCommand.class,
            BenchModelCommand.class,
            BenchPipelineCommand.class,
            BenchVideoCommand.class,
            BenchScaleCommand.class
        })
final class BenchCommand {}
