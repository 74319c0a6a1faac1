"""Agreement with the authors' code, on cases computed with it.

A case is a directory: config.yaml (the authors' keys), weights.safetensors (their names), case.safetensors
(image, features; step1 …, resized: every k-th channel) and case.json (iterations, k, the resized size).
A case of another upsampler than UPLiFT names it as `system`; its output is `output` (or step1 …, where one
is iterated) at `output_size`, where that is not given by the inputs. A case of `sdvae` has image and latent
in, mean and decoded out.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from uplift_toolkit.fast import FastUplift, Readout
from uplift_toolkit.uplift import Uplift, option, resize
from uplift_toolkit.upsamplers import UPSAMPLERS, upsampler_of
from uplift_toolkit.vae import Vae, load_vae
from uplift_toolkit.weights import load_strict, read_state_dict

VAE = "sdvae"
READABLE_BAR = 1e-4
FAST_BAR = 1e-3


@dataclass(frozen=True)
class Difference:
    """The largest absolute difference of one output, in fp32."""

    case: str
    model: str
    output: str
    value: float
    bar: float

    @property
    def agrees(self) -> bool:
        return self.value <= self.bar  # not a number does not


def cases(directories: list[Path]) -> Iterator[Path]:
    """The directories that are cases, and the cases right below those that are not."""
    for directory in directories:
        below = sorted(path.parent for path in directory.glob("*/case.json"))
        if (directory / "case.json").is_file():
            yield directory
        elif below:
            yield from below
        else:
            raise ValueError(f"{directory}: no case.json (expected: a case, or a directory of cases)")


def compare(directory: Path) -> list[Difference]:
    """Every output of the readable model, and of the fast graph (of another upsampler than UPLiFT, what
    `read` computes) with identity heads."""
    case = json.loads((directory / "case.json").read_text())
    if not isinstance(case, dict):
        raise ValueError(f"{directory / 'case.json'}: {type(case).__name__} (expected: an object)")
    if case.get("system") == VAE:
        return compare_vae(directory)
    if "system" in case:
        return compare_upsampler(directory, case)
    tensors = read_state_dict(directory / "case.safetensors")
    image, features = tensors["image"], tensors["features"]
    steps, channels = int(case["iterations"]), int(case["channel_stride_of_stored_outputs"])
    uplift = Uplift(yaml.safe_load((directory / "config.yaml").read_text())).eval()
    load_strict(uplift, read_state_dict(directory / "weights.safetensors"), directory / "weights.safetensors")
    identity = [Readout(step) for step in range(1, steps + 1)]
    with torch.inference_mode():
        fast = FastUplift(uplift, tuple(image.shape[2:]), tuple(features.shape[2:]), identity)
        results = {
            "readable": (uplift(image, features, steps), READABLE_BAR),
            "fast": (fast(image, features), FAST_BAR),
        }
    differences = []
    for model, (outputs, bar) in results.items():
        named = {f"step{i}": output for i, output in enumerate(outputs, start=1)}
        named["resized"] = resize(outputs[-1], tuple(case["resized_to"]))
        for name, output in named.items():
            value = largest_difference(output[:, ::channels], tensors[name])
            differences.append(Difference(directory.name, model, name, value, bar))
    return differences


def compare_upsampler(directory: Path, case: dict[str, Any]) -> list[Difference]:
    """The same of an upsampler other than UPLiFT."""
    kind = option(case, "system", [*UPSAMPLERS, VAE])
    upsampler = upsampler_of(kind, yaml.safe_load((directory / "config.yaml").read_text())).eval()
    load_strict(
        upsampler, read_state_dict(directory / "weights.safetensors"), directory / "weights.safetensors"
    )
    tensors = read_state_dict(directory / "case.safetensors")
    image, features = tensors["image"], tensors["features"]
    every = int(case["channel_stride_of_stored_outputs"])
    channels = torch.eye(features.shape[1])[::every]
    none = torch.zeros(len(channels))
    differences = []
    for name, expected in tensors.items():
        if name in ("image", "features"):
            continue
        size = tuple(case.get("output_size", expected.shape[2:]))
        with torch.inference_mode():
            whole = upsampler(image, features, size)[:, ::every]
            read = upsampler.read(upsampler.guide(image, features), features, size, channels, none)
        for model, found, bar in (("readable", whole, READABLE_BAR), ("fast", read, FAST_BAR)):
            value = largest_difference(found, expected)
            differences.append(Difference(directory.name, model, name, value, bar))
    return differences


def compare_vae(directory: Path) -> list[Difference]:
    """The mean that the encoder gives, and what the decoder makes of a latent."""
    vae = Vae(**yaml.safe_load((directory / "config.yaml").read_text())).eval()
    load_vae(vae, directory / "weights.safetensors")
    tensors = read_state_dict(directory / "case.safetensors")
    with torch.inference_mode():
        found = {"mean": vae.encode(tensors["image"]), "decoded": vae.decode(tensors["latent"])}
    return [
        Difference(directory.name, "readable", name, largest_difference(x, tensors[name]), READABLE_BAR)
        for name, x in found.items()
    ]


def largest_difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        raise ValueError(f"output shape: {list(found.shape)} (expected: {list(expected.shape)})")
    return float((found - expected).abs().max())


def register(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "parity",
        help="compare the models with cases computed by the authors' code",
        description="Prints the largest absolute difference of every output. Exit code 1 if the readable "
        f"model does not agree to {READABLE_BAR:g}, or the fast graph (fp32, identity head) to {FAST_BAR:g}.",
        epilog="example: python -m uplift_toolkit parity tests/resources/parity",
    )
    parser.add_argument(
        "directories", type=Path, nargs="+", metavar="DIR", help="a case, or a directory of cases"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    print(f"{'case':24} {'model':9} {'output':8} {'difference':>11} {'bar':>6}")
    disagreeing = []
    for directory in cases(arguments.directories):
        for row in compare(directory):
            verdict = "" if row.agrees else "  DISAGREES"
            print(f"{row.case:24} {row.model:9} {row.output:8} {row.value:11.2e} {row.bar:6.0e}{verdict}")
            disagreeing += [] if row.agrees else [row]
    if disagreeing:
        print(f"{len(disagreeing)} outputs disagree")
        return 1
    print("all outputs agree")
    return 0
