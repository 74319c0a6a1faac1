"""The command line: python -m uplift_toolkit COMMAND …"""

import argparse
import importlib
import os
import sys

COMMANDS = ("export", "agree", "parity", "train", "evaluate", "bench")
"""Modules that each have register(subparsers), which adds its subcommands, each with a `run` default."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns 2, with one sentence on standard error, for what its user can mend."""
    try:
        try:
            return run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # who read the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a process that the signal ended


def run(arguments: list[str] | None) -> int:
    try:
        modules = [importlib.import_module(f"uplift_toolkit.{name}") for name in COMMANDS]
        import torch
        import yaml
    except (ImportError, OSError) as e:  # OSError: a library of torch that does not load
        print(f"uplift_toolkit: {e} (expected: the packages that its README installs)", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(
        prog="python -m uplift_toolkit",
        description="Builds, trains, checks and exports the model bundles that uplift-stream runs.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in modules:
        module.register(subparsers)
    parsed = parser.parse_args(arguments)
    torch.backends.nnpack.set_flags(False)  # where it does not support the CPU it says so for every layer
    config = getattr(parsed, "config", None)
    try:
        return parsed.run(parsed)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        problem, code = "interrupted", 130
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem, code = f"{config}, or a YAML file that it names: {line}{e.problem or e.context}", 2
    except (UnicodeDecodeError, yaml.YAMLError) as e:
        what = " ".join(str(e).split())
        problem, code = f"{config}, or a file that it names: {what} (expected: text in UTF-8)", 2
    except (OSError, ValueError, ImportError, torch.OutOfMemoryError) as e:
        problem, code = str(e), 2
    print(f"{parsed.command}: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
