"""The command line: python -m uplift_toolkit COMMAND …"""

import argparse
import sys

import torch

from uplift_toolkit import agree, bench, evaluate, export, parity, train

COMMANDS = (export, agree, parity, train, evaluate, bench)
"""Each has register(subparsers), which adds its subcommands, each with a `run` default."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m uplift_toolkit",
        description="Builds, trains, checks and exports the model bundles that uplift-stream runs.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.register(subparsers)
    parsed = parser.parse_args(arguments)
    torch.backends.nnpack.set_flags(False)  # where it does not support the CPU it says so for every layer
    try:
        return parsed.run(parsed)
    except (OSError, ValueError) as e:
        print(f"{parsed.command}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
