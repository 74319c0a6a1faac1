"""Speed and memory of the model's graphs, against each other and against the UPLiFT authors' public code.

Every contender has the same random weights, runs in a process of its own and takes turns with the others, so
that ratios hold whatever else the machine does.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from uplift_toolkit import bench_upsamplers
from uplift_toolkit.bundle import Variant
from uplift_toolkit.export import image_size, trace
from uplift_toolkit.fast.quantise import quantise
from uplift_toolkit.graph import BackboneGraph, Normalise, UpsamplerGraph
from uplift_toolkit.model import DenseModel, InputConfig
from uplift_toolkit.uplift import uplift_config
from uplift_toolkit.vit import MODELS

ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""What `./uplift` sets: glibc keeps the memory of one frame for the next."""

GFLOP_448 = 384  # DINOv2-S/14, UPLiFT x4 and a head by the plain algorithm, for a frame of 448x448
PRECISIONS = ("fp32", "bf16", "fp16")
OWN = (*PRECISIONS, "int8", "int8-bf16")
CONTENDERS = {
    "fp32": "this project's graph, fp32",
    "bf16": "this project's graph, bf16",
    "fp16": "this project's graph, fp16",
    "int8": "this project's graph, upsampler's convolutions in int8",
    "int8-bf16": "the same (int8), backbone in bf16",
    "readable": "this project's plain graph, fp32",
    "authors": "the authors' code as it comes, fp32",
    "authors-low": "the authors' low_mem=True, fp32",
    "authors-bf16": "the authors' code, autocast to bf16, channels_last",
    "authors-fast": "the authors' make_fast, fp32",
    "authors-fast-bf16": "the authors' make_fast, bf16",
}
# Options that are not of both graphs and upsamplers.
OF_GRAPHS = ("size", "batch", "device", "cpus", "rounds", "upsampler", "profile")
OF_UPSAMPLERS = ("tokens", "outputs", "limit")


def model(width: int, height: int, task: str) -> DenseModel:
    """DINOv2-S/14 + UPLiFT x4 with random weights: 19 classes, or all 384 channels, at every pixel."""
    vit, size = MODELS["vit_small_patch14_dinov2"], InputConfig(width, height)
    uplift = uplift_config(vit.dim, vit.patch)
    return bench_upsamplers.random_model(task, vit, input=size, steps=4, uplift=uplift)


def graphs(name: str, own: DenseModel, device: str) -> tuple[BackboneGraph, UpsamplerGraph]:
    """The graphs of one of the contenders OWN, as they are exported for the device; not yet quantised."""
    backbone, upsampler = {"int8": ("fp32", "int8"), "int8-bf16": ("bf16", "int8")}.get(name, (name, name))
    made = BackboneGraph(own, Variant(device, backbone)), UpsamplerGraph(own, Variant(device, upsampler))
    return made[0].eval(), made[1].eval()


def contender(name: str, settings: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """Frames u8 [N,H,W,3] to labels u8 [N,H,W], or features fp16 [N,C,H,W]."""
    task, device = settings["task"], settings["device"]
    own = model(settings["width"], settings["height"], task)
    if name in OWN:
        shape = (settings["batch"], settings["height"], settings["width"], 3)
        frames = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
        backbone, upsampler = (graph.to(device) for graph in graphs(name, own, device))
        with torch.no_grad():
            features = backbone(frames)
            if name.startswith("int8"):
                quantise(upsampler.upsampler, lambda: upsampler(frames, features))
        traced_backbone, traced_upsampler = trace(backbone, frames), trace(upsampler, frames, features)
        if settings["upsampler"]:
            return lambda rgb: traced_upsampler(rgb, features)[0]
        return lambda rgb: traced_upsampler(rgb, traced_backbone(rgb))[0]
    dtype = torch.bfloat16 if name == "authors-fast-bf16" else torch.float32
    normalise = Normalise(dtype, own.config).to(device)
    vit = own.backbone.to(device, dtype)
    head = next(iter(own.heads.values())).to(device, dtype)
    if name == "readable":
        plain = own.to(device)
        return lambda rgb: _finish(next(iter(plain(normalise(rgb)).values())), task)
    upsample = _authors(name, own, settings, dtype)
    outsize = [settings["height"], settings["width"]]
    if name == "authors-bf16":
        vit, upsample = (part.to(memory_format=torch.channels_last) for part in (vit, upsample))

    def run(rgb: Tensor) -> Tensor:
        images = normalise(rgb)
        if name != "authors-bf16":
            images = images.contiguous()
        # Not bf16 weights: their resize has no bf16 on a CPU.
        with torch.autocast(device, torch.bfloat16, enabled=name == "authors-bf16"):
            return _finish(head(upsample(images, vit(images), outsize)), task)

    return run


def _authors(name: str, own: DenseModel, settings: dict[str, Any], dtype: torch.dtype) -> nn.Module:
    """The authors' UPLiFT with the same weights."""
    package = ModuleType("uplift")  # without its __init__, which imports what only its extractor needs
    package.__path__ = [str(Path(settings["authors"]) / "uplift")]
    sys.modules["uplift"] = package
    from uplift.uplift import UPLiFT

    config = _namespace(own.config.uplift["uplift"])
    theirs = UPLiFT(
        own.config.backbone.dim, own.config.backbone.patch, config, dtype, low_mem=name == "authors-low"
    )
    theirs.load_state_dict(own.upsampler.state_dict())
    theirs.eval().to(settings["device"])
    theirs.enable_iterative(own.config.steps)
    if "fast" not in name:
        return theirs
    from uplift.fast import make_fast

    return make_fast(theirs, warmup=False, device=torch.device(settings["device"]))


def _namespace(values: Any) -> Any:
    if isinstance(values, dict):
        return SimpleNamespace(**{key: _namespace(value) for key, value in values.items()})
    return values


def _finish(x: Tensor, task: str) -> Tensor:
    return x.half() if task == "features" else x.argmax(dim=1).to(torch.uint8)


def work(connection: Connection, name: str, settings: dict[str, Any]) -> None:
    """A contender's process: answers `frames`, `peak`, `profile` and `memory` until None comes, and with a
    ValueError whatever goes wrong."""
    try:
        if settings["cpus"]:
            os.sched_setaffinity(0, settings["cpus"])
        torch.set_num_threads(settings["threads"])
        torch.backends.nnpack.set_flags(False)  # as everywhere in the command line
        with torch.inference_mode():
            run = contender(name, settings)
            generator = torch.Generator().manual_seed(1)
            shape = (settings["batch"], settings["height"], settings["width"], 3)
            rgb = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(settings["device"])
            for _ in range(settings["warmup"]):
                result = run(rgb)
            connection.send(result[0].float().cpu().numpy())
            with contextlib.suppress(OSError):  # memory of serving, not of tracing; Linux alone can reset it
                Path("/proc/self/clear_refs").write_text("5")
            if settings["device"] == "cuda":
                torch.cuda.reset_peak_memory_stats()
            for command, argument in iter(connection.recv, None):
                if command == "frames":
                    connection.send([seconds(lambda: run(rgb), settings["device"]) for _ in range(argument)])
                elif command == "peak":
                    connection.send(peak(Variant(settings["device"], argument).dtype, settings["device"]))
                elif command == "profile":
                    connection.send(_profile(lambda: run(rgb), settings["device"]))
                elif settings["device"] == "cuda":
                    connection.send(torch.cuda.max_memory_allocated() / 1e9)
                else:
                    connection.send(bench_upsamplers.peak_memory())
    except Exception as error:  # whatever it is, the table says it
        connection.send(ValueError(f"{type(error).__name__}: {error}".splitlines()[0][:200]))


def seconds(call: Callable[[], Any], device: str) -> float:
    """What one call takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a square matrix product, the best of several."""
    n = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def _profile(call: Callable[[], Any], device: str) -> str:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        call()
    averages = profile.key_averages(group_by_input_shape=True)
    return str(averages.table(sort_by=f"self_{device}_time_total", row_limit=25, max_name_column_width=40))


def register(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="time the graphs against each other and against the authors' code",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Times DINOv2-S/14 + UPLiFT x4 with random weights, bytes of RGB to labels (or features) of\n"
            "every pixel. Contenders have the same weights, a process each, and take turns.\n\n"
            + "\n".join(f"  {name:18} {text}" for name, text in CONTENDERS.items())
            + "\n\nOr upsamplers alone, of their published sizes, with 384 channels, in fp32 on the CPU,\n"
            "at every pair of --tokens and --outputs, and their authors' code:\n\n  "
            + "\n  ".join(textwrap.wrap(" ".join(bench_upsamplers.CONTENDERS), 90))
        ),
        epilog=(
            "examples:\n"
            "  python -m uplift_toolkit bench fp32 readable\n"
            "  git clone https://github.com/mwalmer-umd/UPLiFT\n"
            "  python -m uplift_toolkit bench --authors UPLiFT bf16 authors authors-low authors-bf16\n"
            "  python -m uplift_toolkit bench --authors UPLiFT --device cuda fp16 authors-fast-bf16\n"
            "  python -m uplift_toolkit bench uplift anyup naf --tokens 16 32 64 --json cost.json\n"
            "  git clone https://github.com/wimmerth/anyup clones/anyup\n"
            "  python -m uplift_toolkit bench anyup anyup-authors --authors clones --outputs 448 672"
        ),
    )
    parser.add_argument("contenders", nargs="+", metavar="CONTENDER", help="what ratios refer to comes first")
    parser.add_argument(
        "--authors",
        type=Path,
        metavar="DIR",
        help="a clone of the UPLiFT authors' repository; of upsamplers, a directory of clones",
    )
    parser.add_argument("--task", choices=["segmentation", "features"], default="segmentation")
    parser.add_argument("--size", type=image_size, default=(448, 448), metavar="WIDTHxHEIGHT")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="frames per call; default: 1")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--cpus", metavar="LIST", help="keep to these CPUs, such as 0,2")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns each has; default: 3")
    parser.add_argument("--frames", type=int, default=3, metavar="N", help="calls per turn; default: 3")
    parser.add_argument("--warmup", type=int, default=3, metavar="N", help="calls before the first turn")
    parser.add_argument(
        "--upsampler", action="store_true", help="UPLiFT and head alone, of this project's graphs"
    )
    parser.add_argument(
        "--same-allocator",
        action="store_true",
        help="the authors' code, too, with the settings of ./uplift for glibc's malloc",
    )
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[32], metavar="N", help="of upsamplers: features on a side"
    )
    parser.add_argument(
        "--outputs", type=int, nargs="+", default=[448], metavar="N", help="of upsamplers: pixels on a side"
    )
    parser.add_argument(
        "--limit", type=float, metavar="GB", help="of upsamplers: memory that a process may take"
    )
    parser.add_argument("--profile", action="store_true", help="show where the first contender's time goes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.set_defaults(run=partial(run, parser))


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    upsamplers = any(name in bench_upsamplers.CONTENDERS for name in arguments.contenders)
    for name in OF_GRAPHS if upsamplers else OF_UPSAMPLERS:
        if getattr(arguments, name) != parser.get_default(name):
            others = CONTENDERS if upsamplers else bench_upsamplers.CONTENDERS
            raise ValueError(f"--{name} with {arguments.contenders} (expected: some of {list(others)})")
    if upsamplers:
        plain = {} if not arguments.same_allocator else ALLOCATOR
        return bench_upsamplers.run(arguments, lambda own: _environment(ALLOCATOR if own else plain))
    unknown = [name for name in arguments.contenders if name not in CONTENDERS]
    if unknown:
        raise ValueError(f"contender {unknown[0]!r} (expected one of {list(CONTENDERS)})")
    if arguments.upsampler and any(name not in OWN for name in arguments.contenders):
        raise ValueError(f"--upsampler with {arguments.contenders} (expected: some of {list(OWN)})")
    if arguments.authors is None and any(name.startswith("authors") for name in arguments.contenders):
        raise ValueError("--authors is missing (expected: a clone of https://github.com/mwalmer-umd/UPLiFT)")
    width, height = arguments.size
    settings = {
        "authors": str(arguments.authors),
        "cpus": [int(cpu) for cpu in arguments.cpus.split(",")] if arguments.cpus else [],
        "width": width,
        "height": height,
    } | {
        name: getattr(arguments, name)
        for name in ("task", "device", "threads", "batch", "warmup", "upsampler", "same_allocator")
    }
    context = multiprocessing.get_context("spawn")
    rows: dict[str, dict[str, Any]] = {}
    processes: dict[str, tuple[BaseProcess, Connection]] = {}
    reference = None
    for name in arguments.contenders:
        ours, theirs = context.Pipe()
        own = name in OWN or name == "readable" or arguments.same_allocator
        process = context.Process(target=work, args=(theirs, name, settings), daemon=True)
        with _environment(ALLOCATOR if own else {}):
            process.start()
        theirs.close()  # or the end of the process would not be seen
        rows[name] = {}
        try:
            first = _receive(process, ours)
        except ValueError as error:
            rows[name]["error"] = str(error)
            print(f"{name}: {error}", file=sys.stderr)
            continue
        processes[name] = process, ours
        reference = first if reference is None else reference
        if arguments.task == "segmentation":
            rows[name]["agreement"] = float((first == reference).mean())
        else:
            rows[name]["agreement"] = float(
                (first * reference).sum() / ((first**2).sum() * (reference**2).sum()) ** 0.5
            )

    def ask(name: str, command: str, argument: Any = None) -> Any:
        process, connection = processes[name]
        with contextlib.suppress(OSError):  # of a process that has ended, which the answer tells
            connection.send((command, argument))
        try:
            return _receive(process, connection)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    times: dict[str, list[float]] = {name: [] for name in processes}
    for turn in range(arguments.rounds):
        for name in processes:
            times[name] += ask(name, "frames", arguments.frames)
            seconds = statistics.median(times[name]) / arguments.batch
            print(f"round {turn + 1}: {name} {seconds:.4f} s/frame", file=sys.stderr)
    gflop = GFLOP_448 * width * height / 448**2
    for name in processes:
        seconds = statistics.median(times[name]) / arguments.batch
        rows[name] |= {"secondsPerFrame": seconds, "memoryGB": ask(name, "memory")}
        if name in PRECISIONS and not arguments.upsampler:
            rows[name]["matrixProductFlops"] = ask(name, "peak", name)
            rows[name]["shareOfPeak"] = gflop * 1e9 / seconds / rows[name]["matrixProductFlops"]
    if arguments.profile and processes:
        print(ask(next(iter(processes)), "profile"))
    for _, connection in processes.values():
        connection.send(None)
    base = next(iter(rows.values())).get("secondsPerFrame")
    print(
        f"{arguments.task} {width}x{height}, {arguments.device}, batch {arguments.batch}, "
        f"{arguments.threads} threads, torch {torch.__version__}"
    )
    print("| contender | s/frame | takes x the first | memory GB | agrees | share of matrix product |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        if "error" in row:
            print(f"| {CONTENDERS[name]} | {row['error']} |")
            continue
        ratio = f"{row['secondsPerFrame'] / base:.2f}" if base else ""
        share = ""
        if "shareOfPeak" in row:
            share = f"{row['shareOfPeak']:.3f} of {row['matrixProductFlops'] / 1e12:.2f} TFLOP/s"
        print(
            f"| {CONTENDERS[name]} | {row['secondsPerFrame']:.4f} | {ratio} | {row['memoryGB']:.2f} "
            f"| {row['agreement']:.4f} | {share} |"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"settings": settings, "contenders": rows}, indent=1) + "\n")
    return 0


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables of processes started inside; what is set already stays."""
    before = dict(os.environ)
    os.environ |= variables | before
    try:
        yield
    finally:
        for name in variables.keys() - before.keys():
            del os.environ[name]


def _receive(process: BaseProcess, connection: Connection) -> Any:
    """What the process sends; ValueError if it says what went wrong, or has ended."""
    try:
        answer = connection.recv()
    except (EOFError, OSError):
        process.join()
        answer = ValueError(f"the process ended with exit code {process.exitcode}")
    if isinstance(answer, ValueError):
        raise answer
    return answer
