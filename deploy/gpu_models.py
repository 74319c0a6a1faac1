"""The models of `gpu-check`: DINOv2-S/14 + UPLiFT x4 with random weights, in fp16, with operators.

python gpu_models.py make DIR        # bundles that are not there yet; needs UPLIFT_OPERATORS, and no GPU
python gpu_models.py measure FILE    # all channels of every pixel on the GPU: times and memory, as JSON
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from uplift_toolkit.bundle import VARIANTS, Bundle, Variant, manifest_of, write_manifest
from uplift_toolkit.export import card, golden_frames, save, trace
from uplift_toolkit.graph import BackboneGraph, UpsamplerGraph
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import LABELS, DenseModel, InputConfig, ModelConfig
from uplift_toolkit.operators import LIBRARY, OperatorUpsampler, load_operators
from uplift_toolkit.uplift import uplift_config
from uplift_toolkit.vit import MODELS

FP16, VIT = Variant("cuda", "fp16"), MODELS["vit_small_patch14_dinov2"]
NAMES = ("classes-19", "classes-150", "channels", "large")
WARMUP, CALLS = 5, 20


def model(name: str, side: int) -> DenseModel:
    """Classes or, as they are, all channels of every pixel."""
    labels = {"channels": None, "classes-150": "ade20k"}.get(name, "cityscapes")
    classes = json.loads((LABELS / f"{labels}.json").read_text()) if labels else []
    kind, channels = ("segmentation", len(classes)) if labels else ("features", VIT.dim)
    config = ModelConfig(
        name=name,
        version="0",
        description="DINOv2-S/14 + UPLiFT x4, to measure with.",
        license="Apache-2.0",
        input=InputConfig(side, side, maxBatch=8 if name.startswith("classes") else 1),
        backbone=VIT,
        steps=4,
        uplift=uplift_config(VIT.dim, VIT.patch),
        heads=[HeadConfig(kind, kind, channels)],
        labels=classes,
    )
    torch.manual_seed(0)
    made = DenseModel(config).eval()
    if not labels:
        linear = made.heads[kind].linear
        linear.weight.data, linear.bias.data = torch.eye(channels)[:, :, None, None], torch.zeros(channels)
    return made


@torch.inference_mode()
def golden(made: DenseModel, frames: Tensor) -> Tensor:
    """What cpu-fp32 gives."""
    features = BackboneGraph(made, VARIANTS[0]).eval()(frames)
    return UpsamplerGraph(made, VARIANTS[0]).eval()(frames, features)[0]


def make(name: str, directory: Path) -> None:
    """A bundle of cuda-fp16 alone, whose one upsampler has the operators: it does not run without them."""
    made = model(name, 1344 if name == "large" else 448)
    config, head = made.config, made.config.heads[0]
    files = {part: f"{FP16.name}/{part}.pt" for part in ("backbone", "upsampler")}
    for part in (FP16.name, "golden"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    frames = torch.from_numpy(golden_frames(config.input, [])[:1])
    frames.numpy().tofile(directory / "golden" / "frames.bin")
    golden(made, frames).numpy().tofile(directory / "golden" / f"{head.name}.bin")
    # One frame: a CPU convolves fp16 slowly, and the number of frames is not written into the graph.
    save(trace(BackboneGraph(made, FP16).eval(), frames), directory / files["backbone"])
    features = torch.zeros(1, VIT.dim, *config.grid)
    upsampler = OperatorUpsampler(made, FP16.dtype).eval()
    save(trace(upsampler, frames, features), directory / files["upsampler"])
    (directory / "labels.json").write_text(json.dumps(config.labels))
    (directory / "README.md").write_text(card(config, "The weights are random."))
    manifest: dict[str, Any] = manifest_of(config, 1, [FP16])
    manifest["variants"][0]["operators"] = {"upsampler": files["upsampler"], "library": LIBRARY}
    write_manifest(directory, manifest)
    Bundle.load(directory)


@torch.inference_mode()
def measure(side: int, batches: tuple[int, ...]) -> list[dict[str, float]]:
    """All channels: milliseconds from a batch on the GPU to its features there, and the most that PyTorch
    allocated for it, weights included."""
    made = model("channels", side)
    rgb = torch.randint(0, 256, (max(batches), side, side, 3), dtype=torch.uint8).cuda()
    backbone = trace(BackboneGraph(made, FP16).eval().cuda(), rgb[:1])
    upsampler = trace(OperatorUpsampler(made, FP16.dtype).eval().cuda(), rgb[:1], backbone(rgb[:1]))
    frames, rgb, found = rgb.cpu(), None, []
    for batch in batches:
        rgb, times = frames[:batch].cuda(), []
        for call in range(-WARMUP, CALLS):
            if call == 0:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            start = time.perf_counter()
            upsampler(rgb, backbone(rgb))
            torch.cuda.synchronize()
            times += [1e3 * (time.perf_counter() - start)] if call >= 0 else []
        memory = torch.cuda.max_memory_allocated() / 1e9
        found.append(
            {"side": side, "batch": batch, "milliseconds": statistics.median(times), "memoryGB": memory}
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["make", "measure"])
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    load_operators(Path(os.environ["UPLIFT_OPERATORS"]))
    if arguments.command == "make":
        for name in NAMES:
            start = time.monotonic()
            if not (arguments.path / name / "manifest.json").exists():  # which is written last
                make(name, arguments.path / name)
            print(f"{arguments.path / name}: {time.monotonic() - start:.0f} s", flush=True)
    else:
        figures = measure(448, (1, 8)) + measure(1344, (1,))
        arguments.path.write_text(json.dumps(figures, indent=1) + "\n")
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
