"""The command line: python -m uplift_toolkit COMMAND …"""

import argparse
import importlib
import os
import sys

COMMANDS = ("export", "agree", "parity", "train", "evaluate", "bench")
"""Modules that each have register(subparsers), which adds its subcommands, each with a `run` default."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m uplift_toolkit",
        description="Builds, trains, checks and exports the model bundles that uplift-stream runs.",
    )
    try:
        modules = [importlib.import_module(f"uplift_toolkit.{name}") for name in COMMANDS]
    except (ImportError, OSError) as e:  # OSError: a library of torch that does not load
        print(f"uplift_toolkit: {e} (expected: the packages that pip install . brings)", file=sys.stderr)
        return 2
    import torch
    import yaml

    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in modules:
        module.register(subparsers)
    parsed = parser.parse_args(arguments)
    torch.backends.nnpack.set_flags(False)  # where it does not support the CPU it says so for every layer
    try:
        result = parsed.run(parsed)
        sys.stdout.flush()
        return result
    except BrokenPipeError:  # who read the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a process that SIGPIPE ends
    except KeyboardInterrupt:
        print(f"{parsed.command}: interrupted", file=sys.stderr)
        return 130
    except yaml.MarkedYAMLError as e:
        place = (
            f"line {e.problem_mark.line + 1}, column {e.problem_mark.column + 1}: " if e.problem_mark else ""
        )
        print(
            f"{parsed.command}: {parsed.config}, or a YAML file it names: {place}{e.problem}", file=sys.stderr
        )
        return 2
    except (OSError, ValueError, ImportError, yaml.YAMLError, torch.OutOfMemoryError) as e:
        print(f"{parsed.command}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
