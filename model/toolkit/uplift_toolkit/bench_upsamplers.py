"""Time and memory of the upsamplers, over visual tokens and output sizes, and against their authors' code.

Every measurement runs in a process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from uplift_toolkit.bundle import Variant
from uplift_toolkit.export import save, trace
from uplift_toolkit.graph import Normalise, upsampler_graph
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel, InputConfig, ModelConfig
from uplift_toolkit.uplift import uplift_config
from uplift_toolkit.upsamplers import KINDS, UPLIFT
from uplift_toolkit.vit import ViTConfig

CHANNELS = 384
CLASSES = 19
# Of each kind the folder that a clone of the authors' repository makes, and their module. Those of NAF and
# FeatUp call extensions that are compiled for CUDA, and are not run.
AUTHORS = {
    "anyup": ("anyup", "anyup.model"),
    "jafar": ("JAFAR", "src.upsampler.jafar"),
    "loftup": ("loftup", "upsamplers.upsamplers"),
    "lift": ("lift", "lift"),
}
CONTENDERS = (*KINDS, *(f"{kind}-authors" for kind in AUTHORS))

Call = Callable[[Tensor, Tensor], Tensor]
"""Frames u8 [1,S,S,3] and features [1,C,t,t] to labels u8 [1,S,S], or features fp16 [1,C,S,S]."""


def random_model(task: str, backbone: ViTConfig, **described: Any) -> DenseModel:
    """A model with random weights and one head at every pixel: 19 classes, or all channels as they are."""
    head = HeadConfig("classes", "segmentation", CLASSES)
    if task == "features":
        head = HeadConfig("features", "features", backbone.dim)
    config = ModelConfig(
        name="bench",
        version="0",
        description="",
        license="",
        backbone=backbone,
        heads=[head],
        labels=[{}] * head.channels,
        **described,
    )
    torch.manual_seed(0)
    made = DenseModel(config).eval()
    if task == "features":
        linear = made.heads["features"].linear
        linear.weight.data = torch.eye(backbone.dim)[:, :, None, None]
        linear.bias.data.zero_()
    return made


def model(kind: str, tokens: int, size: int, task: str) -> DenseModel:
    """An upsampler of the published size, for tokens² features of size² pixels."""
    patch = size // tokens
    return random_model(
        task,
        ViTConfig(patch=patch, dim=CHANNELS, depth=1),
        input=InputConfig(size, size),
        steps=math.ceil(math.log2(patch)) if kind == UPLIFT else 0,
        uplift=uplift_config(CHANNELS, patch) if kind == UPLIFT else {},
        kind=kind,
    )


def contender(name: str, tokens: int, size: int, settings: dict[str, Any]) -> Call:
    if name in KINDS:
        graph = torch.jit.load(settings["graph"])
        return lambda rgb, features: graph(rgb, features)[0]
    kind = name.partition("-")[0]
    made = model(kind, tokens, size, settings["task"])
    theirs = authors(kind, Path(settings["authors"]), made)
    normalise, head = Normalise(torch.float32, made.config), next(iter(made.heads.values()))

    def run(rgb: Tensor, features: Tensor) -> Tensor:
        x = head(theirs(normalise(rgb).contiguous(), features, (size, size)))
        return x.half() if settings["task"] == "features" else x.argmax(dim=1).to(torch.uint8)

    return run


def export(kind: str, tokens: int, size: int, settings: dict[str, Any]) -> None:
    """Writes the graph, for another process: tracing takes more memory than running does."""
    graph = upsampler_graph(model(kind, tokens, size, settings["task"]), Variant("cpu", "fp32"))
    with torch.no_grad():
        save(trace(graph.eval(), *example(tokens, size)), Path(settings["graph"]))


def authors(kind: str, directory: Path, made: DenseModel) -> Callable[[Tensor, Tensor, tuple], Tensor]:
    """The authors' module with the same weights, as a function of image, features and size."""
    folder, module = AUTHORS[kind]
    sys.path.insert(0, str(directory / folder))
    stub_missing()
    code = import_module(module)
    state = made.upsampler.state_dict()
    if kind == "loftup":
        theirs: nn.Module = nn.Sequential()
        theirs.upsampler = code.LoftUp(CHANNELS)
        theirs.channelnorm = code.ChannelNorm(CHANNELS)
        theirs.load_state_dict(state)
        theirs.eval()
        return lambda image, features, size: theirs.upsampler(theirs.channelnorm(features), image)
    if kind == "lift":
        theirs = code.LiFT(CHANNELS, made.config.backbone.patch, pre_shape=False, post_shape=False)
        theirs.load_state_dict(state)
        theirs.eval()

        def iterated(image: Tensor, features: Tensor, size: tuple[int, int]) -> Tensor:
            features = theirs(image, features)
            while features.shape[2] < size[0]:
                image = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
                features = theirs(image, features)
            return features

        return iterated
    if kind == "jafar":  # whose coordinates are made on a GPU unless told otherwise
        code.create_coordinate = partial(code.create_coordinate, device="cpu")
    theirs = code.JAFAR(v_dim=CHANNELS) if kind == "jafar" else code.AnyUp()
    theirs.load_state_dict(state, strict=kind != "anyup")
    return theirs.eval()


class Anything:
    """Stands for what only their data, pictures and uploads need."""

    def __init__(self, *arguments: Any) -> None: ...

    def __init_subclass__(cls, **options: Any) -> None: ...


def stub_missing() -> None:
    """Puts an empty module in the place of each that is imported but not needed, and not installed."""
    for name in ("torchvision", "torchvision.transforms", "huggingface_hub"):
        try:
            import_module(name)
        except ImportError:
            sys.modules[name] = stub = ModuleType(name)
            stub.__dict__.update(transforms=stub, Normalize=Anything, PyTorchModelHubMixin=Anything)


def example(tokens: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rgb = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=generator)
    return rgb, torch.randn(1, CHANNELS, tokens, tokens, generator=generator)


def work(connection: Connection, name: str, tokens: int, size: int, settings: dict[str, Any]) -> None:
    """A measurement's process: sends the figures and a part of the output, or a line of what went wrong."""
    torch.set_num_threads(settings["threads"])
    torch.backends.nnpack.set_flags(False)
    if settings["limit"]:
        most = int(settings["limit"] * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        with torch.inference_mode():
            run = contender(name, tokens, size, settings)
            inputs = example(tokens, size)
            for _ in range(settings["warmup"]):
                run(*inputs)
            walls, cpus = [], []
            for _ in range(settings["frames"]):
                wall, cpu = time.perf_counter(), time.process_time()
                output = run(*inputs)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
        figures = {
            "secondsPerFrame": round(statistics.median(walls), 4),
            "cpuSeconds": round(statistics.median(cpus), 4),
            "memoryGB": round(peak_memory(), 3),
        }
        connection.send((figures, output[0, ..., ::7, ::7].float().numpy()))
    except Exception as error:  # whatever it is, the table says it
        connection.send((f"{type(error).__name__}: {error}".splitlines()[0][:160], None))


def peak_memory() -> float:
    """Gigabytes that were resident at most, since this process began or its kernel was told to forget.

    `getrusage` says of a spawned process at least what its parent had.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e6


def measure(name: str, tokens: int, size: int, settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        settings = {**settings, "graph": f"{directory}/graph.pt"}
        try:
            if name in KINDS:
                export(name, tokens, size, settings)
        except ValueError as error:  # sizes that the kind does not give
            return {"error": str(error)}, None
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, name, tokens, size, settings), daemon=True)
        process.start()
        theirs.close()
        try:
            figures, output = ours.recv()
        except EOFError:
            figures, output = "the process was ended", None
        process.join()
    return {"error": figures} if isinstance(figures, str) else figures, output


def run(
    arguments: argparse.Namespace, environment: Callable[[bool], contextlib.AbstractContextManager[None]]
) -> int:
    """Measures every contender at every pair of tokens and output size; in which `environment` its process
    starts depends on whether it is this project's."""
    unknown = [name for name in arguments.contenders if name not in CONTENDERS]
    if unknown:
        raise ValueError(f"contender {unknown[0]!r} beside upsamplers (expected one of {list(CONTENDERS)})")
    if arguments.authors is None and any(name.endswith("-authors") for name in arguments.contenders):
        raise ValueError(
            "--authors is missing (expected: a directory of clones of the authors' repositories)"
        )
    settings = {k: getattr(arguments, k) for k in ("task", "threads", "warmup", "frames", "limit")}
    settings["authors"] = str(arguments.authors)
    for tokens, size in itertools.product(arguments.tokens, arguments.outputs):
        if tokens < 1 or size < 1 or size % tokens:
            raise ValueError(f"--outputs {size} with --tokens {tokens} (expected: multiples)")
    rows = []
    print("| upsampler | tokens | output | s/frame | CPU s | memory GB | agrees |\n" + "|---" * 7 + "|")
    for tokens, size in itertools.product(arguments.tokens, arguments.outputs):
        reference: dict[str, Any] = {}
        for name in arguments.contenders:
            with environment(name in KINDS):
                figures, output = measure(name, tokens, size, settings)
            row = {"upsampler": name, "tokens": tokens, "output": size, **figures}
            kind = name.partition("-")[0]
            if output is not None and reference.setdefault(kind, output) is not output:
                other = reference[kind]
                same = (
                    (output == other).mean()
                    if arguments.task == "segmentation"
                    else 1 - abs(output - other).max()
                )
                row["agreement"] = round(float(same), 5)
            rows.append(row)
            print(line(row), flush=True)
    if arguments.json is not None:
        report = {"settings": settings, "torch": torch.__version__, "upsamplers": rows}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
        plot(rows, arguments.json.with_suffix(".png"))
    return 0


def line(row: dict[str, Any]) -> str:
    start = f"| {row['upsampler']} | {row['tokens']}x{row['tokens']} | {row['output']}x{row['output']} |"
    if "error" in row:
        return f"{start} {row['error']} |"
    numbers = [f"{row['secondsPerFrame']:.3f}", f"{row['cpuSeconds']:.3f}", f"{row['memoryGB']:.2f}"]
    return f"{start} {' | '.join(numbers)} | {row.get('agreement', '')} |"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory over the tokens at the first output size, and over output sizes at the first tokens."""
    from matplotlib.figure import Figure

    first = rows[0]
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = itertools.product((("tokens", "output"), ("output", "tokens")), ("secondsPerFrame", "memoryGB"))
    for i, ((over, fixed), what) in enumerate(panels):
        axes = figure.add_subplot(2, 2, i + 1, xlabel=f"{over} on a side", ylabel=what, yscale="log")
        axes.set_title(f"{first[fixed]} {fixed} on a side")
        for name in dict.fromkeys(row["upsampler"] for row in rows):
            of = [r for r in rows if r["upsampler"] == name and r[fixed] == first[fixed] and what in r]
            axes.plot([r[over] for r in of], [r[what] for r in of], "o-", label=name)
        axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)
