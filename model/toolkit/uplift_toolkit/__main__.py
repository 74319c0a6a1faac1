"""The command line: python -m uplift_toolkit COMMAND …"""

import argparse
import difflib
import importlib
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

COMMANDS = ("export", "agree", "parity", "train", "evaluate", "bench")
"""Modules that each have register(subparsers), which adds its subcommands, each with a `run` default."""


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, and which name was perhaps meant."""

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        choice = re.search(r"invalid choice: '([^']*)'", message)
        names = re.findall(r"'([^']*)'", message)[1:] if choice else list(self._option_string_actions)
        if typed := unknown or choice:
            near = difflib.get_close_matches(typed[1].split("=")[0], names, n=1, cutoff=0.4)
            message += f"; perhaps {near[0]}" if near else ""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        parsed, unknown = super().parse_known_args(args, namespace)
        if (
            unknown
        ):  # of a subcommand: otherwise the outermost parser, which does not know its options, would say so
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


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
    except KeyboardInterrupt:  # before there was a command
        print("uplift_toolkit: interrupted", file=sys.stderr)
        return 130


def run(arguments: list[str] | None) -> int:
    try:
        modules = [importlib.import_module(f"uplift_toolkit.{name}") for name in COMMANDS]
        import torch
        import yaml
    except (ImportError, OSError) as e:  # OSError: a library of torch that does not load
        print(f"uplift_toolkit: {e} (expected: the packages that its README installs)", file=sys.stderr)
        return 2
    parser = Parser(
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
        if output := getattr(parsed, "output", None):
            check_output(output)
        return parsed.run(parsed)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        problem, code = f"interrupted{unsaved(parsed)}", 130
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem, code = f"{config}, or a YAML file that it names: {line}{e.problem or e.context}", 2
    except (UnicodeDecodeError, yaml.YAMLError) as e:
        what = " ".join(str(e).split())
        problem, code = f"{config}, or a file that it names: {what} (expected: text in UTF-8)", 2
    except OSError as e:
        problem, code = (f"{Path(e.filename).absolute()}: {e.strerror}" if e.filename else str(e)), 2
    except (ValueError, ImportError, torch.OutOfMemoryError) as e:
        problem, code = str(e), 2
    print(f"{parsed.command}: {problem}", file=sys.stderr)
    return code


def unsaved(parsed: argparse.Namespace) -> str:
    """Says of a training run that has no checkpoint for `--resume` to continue that it has none."""
    minutes = getattr(parsed, "save_minutes", None)
    part = parsed.command.removeprefix("train-")
    if minutes is None or any(parsed.output.glob(f"{part}*.checkpoint.pt")):
        return ""
    return f"; nothing was saved yet (--save-minutes {minutes:g})"


def check_output(output: Path) -> None:
    """Raises ValueError unless files can be written to a directory, or it can be made."""
    there = Path(output).absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        found = "cannot be written to" if there.is_dir() else "is not a directory"
        raise ValueError(
            f"--output: {there} {found} (expected: a directory that can be written to, or a new one)"
        )


if __name__ == "__main__":
    sys.exit(main())
