"""Times on a GPU: DINOv2-S/14 + UPLiFT x4, 448x448, fp16, random weights; medians, milliseconds a frame.

python tests/time_graph.py           # with UPLIFT_OPERATORS, or the library of `build`
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from uplift_toolkit import bench
from uplift_toolkit.bundle import Variant
from uplift_toolkit.export import trace
from uplift_toolkit.graph import BackboneGraph, UpsamplerGraph
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.operators import OperatorUpsampler

SIZE, CALLS, WARMUP = 448, 30, 8
LOGITS = (1, 512, 512, 17)
OPERATORS = (
    ("attend", (1, 256, 256, 17), (1, 128, 128, 384)),
    ("classify", LOGITS, (1, 256, 256, 19), SIZE, SIZE),
    ("classify", LOGITS, (1, 256, 256, 150), SIZE, SIZE),
    ("classify_confidence", LOGITS, (1, 256, 256, 150), SIZE, SIZE),
    ("attend_resize", LOGITS, (1, 256, 256, 384), SIZE, SIZE),
    ("add_doubled", (1, 512, 512, 64), (64,), (1, 256, 256, 64)),
    ("add_residual", (1, 512, 512, 64), (64,), (1, 512, 512, 32), 1),
    ("sample", (1, 512, 512, 128), 2),
)


def milliseconds(call: Callable[[], Any]) -> float:
    for _ in range(WARMUP):
        call()
    times = []
    for _ in range(CALLS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def captured(call: Callable[[], Any]) -> Callable[[], Any]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()
    return lambda: (graph.replay(), outputs)


def classes(count: int) -> Any:
    made = bench.model(SIZE, SIZE, "segmentation")
    made.config.heads[0] = HeadConfig("classes", "segmentation", count)
    made.heads["classes"] = LinearHead(made.config.backbone.dim, made.config.heads[0]).eval()
    return made


@torch.inference_mode()
def main() -> None:
    library = Path(__file__).parent.parent / "target" / "operators" / "libuplift_operators.so"
    torch.ops.load_library(os.environ.get("UPLIFT_OPERATORS", library))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {SIZE}x{SIZE}, ms a frame")
    frames = {n: torch.randint(0, 256, (n, SIZE, SIZE, 3), dtype=torch.uint8, device="cuda") for n in (1, 8)}
    print("| graph | 1 frame | as a CUDA graph | 8 frames | as a CUDA graph |\n|---|---|---|---|---|")

    def row(name: str, graph: nn.Module, *features: dict[int, torch.Tensor]) -> torch.jit.ScriptModule:
        traced = trace(graph.eval().cuda(), frames[1], *(f[1] for f in features))
        cells = []
        for n in (1, 8):

            def call(n: int = n) -> Any:
                return traced(frames[n], *(f[n] for f in features))

            cells += [f"{milliseconds(call) / n:.3f}", f"{milliseconds(captured(call)) / n:.3f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        return traced

    variant = Variant("cuda", "fp16")
    backbone = row("backbone", BackboneGraph(classes(19), variant))
    features = {n: backbone(frames[n]) for n in frames}
    for name, made in (
        ("19 classes", classes(19)),
        ("150 classes", classes(150)),
        ("384 channels", bench.model(SIZE, SIZE, "features")),
    ):
        portable = row(f"{name}, portable", UpsamplerGraph(made, variant), features)
        own = row(f"{name}, operators", OperatorUpsampler(made, torch.float16), features)
        x, right = (graph(frames[1], features[1])[0] for graph in (own, portable))
        if x.dtype == torch.uint8:
            print(f"{name}: {float((x == right).float().mean()):.5f} of the labels are the portable graph's")
        else:
            cosine = torch.nn.functional.cosine_similarity(
                x.float().flatten(), right.float().flatten(), dim=0
            )
            print(f"{name}: cosine {float(cosine):.6f} with the portable graph's features")

    print("| operator, 1 frame, shapes | ms |\n|---|---|")
    for name, *arguments in OPERATORS:
        made = [torch.randn(*x, device="cuda").half() if isinstance(x, tuple) else x for x in arguments]
        call = partial(getattr(torch.ops.uplift, name), *made)
        print(f"| {name} {arguments} | {milliseconds(captured(call)):.4f} |", flush=True)


main()
