"""What a model is worth on unseen frames: any set of upsamplers with the same probe recipe."""

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from uplift_toolkit.bench import seconds
from uplift_toolkit.bundle import Bundle, Variant
from uplift_toolkit.data import Batch, Frames, class_weights
from uplift_toolkit.graph import BackboneGraph, Normalise, upsampler_graph
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel, ModelConfig, load_upsampler
from uplift_toolkit.probe import fresh_heads, maps_of, truth
from uplift_toolkit.progress import progress
from uplift_toolkit.scores import BoundaryF, Confusion, DepthError, Several, ceilings
from uplift_toolkit.train import patch_histograms
from uplift_toolkit.training import add_common, add_kinds, kinds_of, open_frames, prepare
from uplift_toolkit.uplift import NEIGHBOURHOODS, Uplift
from uplift_toolkit.upsamplers import KINDS, Upsampler
from uplift_toolkit.weights import load_strict, read_state_dict

SHOWN = 16  # pictures


def score_of(head: HeadConfig, config: ModelConfig, tolerance: int) -> Several:
    if head.kind != "segmentation":
        return Several(DepthError())
    return Several(Confusion(config.labels), BoundaryF(len(config.labels), tolerance))


def judged_heads(config: ModelConfig, frames: Frames) -> list[HeadConfig]:
    """The heads whose truth the frames hold."""
    kinds = {"segmentation": frames.labels is not None, "regression": frames.depth is not None}
    heads = [head for head in config.heads if kinds.get(head.kind, False)]
    if not heads:
        raise ValueError(f"{frames.directory}: neither labels nor depth (expected: truth to judge by)")
    return heads


@torch.inference_mode()
def evaluate(
    model: DenseModel,
    upsamplers: dict[str, Uplift | Upsampler],
    probes: dict[int, nn.ModuleDict],
    frames: Frames,
    images: int,
    tolerance: int,
    show: Path | None,
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The readable model's scores with the heads of every seed in `probes`, by head and kind of upsampler.

    `show` gets the first pictures: image, each kind's labels by the first seed's head, truth.
    """
    config = model.config
    heads = judged_heads(config, frames)
    scores = {
        h.name: {k: [score_of(h, config, tolerance) for _ in probes] for k in upsamplers} for h in heads
    }
    device = next(model.parameters()).device
    normalise = Normalise(torch.float32, model.config).to(device)
    pictures = Pictures(show, config)
    count = min(images, len(frames))
    with progress(total=count, desc="evaluate", unit="frame") as bar:
        for batch in frames.whole_batches(config.input.size, 4, images):
            inputs = normalise(batch.images.to(device))
            features = model.backbone(inputs)
            for kind, upsampler in upsamplers.items():
                fitted = [of[kind][head.name] for head in heads for of in probes.values()]
                maps = maps_of(config, upsampler, inputs, features).head_maps(fitted)
                for head in heads:
                    true = truth(head, batch)
                    for score in scores[head.name][kind]:
                        values = next(maps).cpu()
                        found = values.argmax(1) if head.kind == "segmentation" else values[:, 0]
                        score.add(true, found.exp() if head.log else found)
                        if head.kind == "segmentation":
                            pictures.put(kind, found)
            pictures.save(batch)
            bar.update(len(batch.images))
    return {name: {k: [s.report() for s in of] for k, of in by.items()} for name, by in scores.items()}


def ceiling(config: ModelConfig, frames: Frames, images: int, balance: float) -> dict[str, dict[str, Any]]:
    """The scores of ideal patches: see `scores.ceilings`. Rare classes are weighted as in the probes."""
    frames.require("labels")
    weights = class_weights(frames.class_shares(), balance)[:, None, None]
    offsets = NEIGHBOURHOODS[config.uplift["uplift"]["attender"] if config.uplift else 17]
    confusions: dict[str, Confusion] = {}
    for batch in frames.whole_batches(config.input.size, 4, images):
        shares = patch_histograms(batch.labels, config.backbone.patch, len(config.labels)) * weights
        for name, labels in ceilings(shares, batch.labels, offsets).items():
            confusions.setdefault(name, Confusion(config.labels)).add(batch.labels, labels)
    return {name: confusion.report() for name, confusion in confusions.items()}


def cost(config: ModelConfig, threads: int, device: str) -> dict[str, float]:
    """Seconds and bytes of one frame: the backbone, and the upsampling with all heads, by the exported graph.

    Run in a process of its own: its memory is measured.
    """
    torch.set_num_threads(threads)
    model = DenseModel(config).eval()
    variant = Variant(device, "fp32")
    backbone, graph = (make(model, variant).eval().to(device) for make in (BackboneGraph, upsampler_graph))
    frames = torch.randint(0, 256, (1, *model.config.input.size, 3), dtype=torch.uint8, device=device)
    found: dict[str, float] = {}
    with torch.inference_mode():
        features = backbone(frames)
        for name, call in (
            ("backbone", lambda: backbone(frames)),
            ("upsampling", lambda: graph(frames, features)),
        ):
            peak = _peak_memory(call, device)
            found[f"{name} seconds"] = round(statistics.median(seconds(call, device) for _ in range(7)), 4)
            if peak is not None:
                found[f"{name} peak bytes"] = peak
    return found


def _peak_memory(call: Any, device: str) -> int | None:
    """What the first call takes beside what was there; None where the system does not tell."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak, on Linux
    except OSError:
        return None
    before = _kilobytes(status, "VmRSS")
    call()
    return 1024 * (_kilobytes(status, "VmHWM") - before)


def _kilobytes(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))


def costs(
    config: ModelConfig, kinds: Sequence[str], threads: int, device: str
) -> dict[str, dict[str, float]]:
    """The `cost` of every kind of upsampler."""
    found = {}
    for kind in kinds:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[kind] = pool.apply(cost, (config.of_kind(kind), threads, device))
    return found


def config_of(bundle: Bundle, config: ModelConfig) -> ModelConfig:
    """The configuration at the input size that the bundle was exported for.

    ValueError names a head, or a label, that is not the configuration's. Features are not judged.
    """
    heads = {
        head["name"]: f"{head['kind']}, {head['channels']} channels, stride {head['stride']}"
        for head in bundle.manifest["heads"]
    }
    facts = [
        (f"head {h.name}", heads.get(h.name), f"{h.kind}, {h.channels} channels, stride {h.stride}")
        for h in config.heads
        if h.kind != "features"
    ]
    if any(head.kind == "segmentation" for head in config.heads):
        labels = json.loads(bundle.read(bundle.manifest["labels"])), config.labels
        names = zip_longest(*([label["name"] for label in of] for of in labels))
        facts += [(f"label {i}", *pair) for i, pair in enumerate(names)]
    for what, found, wanted in facts:
        if found != wanted:
            raise ValueError(f"{bundle.directory}: {what}: {found} (expected by the configuration: {wanted})")
    size = bundle.manifest["input"]
    return replace(config, input=replace(config.input, width=size["width"], height=size["height"]))


def evaluate_bundle(
    config: ModelConfig,
    bundle: Bundle,
    variant: str,
    frames: Frames,
    images: int,
    tolerance: int,
    show: Path | None,
) -> dict[str, dict[str, Any]]:
    """The scores of a bundle's TorchScript, by head. `show` gets the first pictures: image, labels, truth."""
    infer = bundle.load_variant(variant)
    heads = judged_heads(config, frames)
    scores = {head.name: score_of(head, config, tolerance) for head in heads}
    pictures = Pictures(show, config)
    for batch in frames.whole_batches(config.input.size, 4, images):
        outputs = bundle.outputs_by_head(infer(batch.images.numpy()))
        for head in heads:
            found = torch.from_numpy(outputs[head.name])
            labels = head.kind == "segmentation"
            scores[head.name].add(truth(head, batch), found if labels else found[:, 0].float())
            if labels:
                pictures.put(variant, found)
        pictures.save(batch)
    return {name: {variant: [score.report()]} for name, score in scores.items()}


class Pictures:
    """The first frames: image, each contender's labels in their colours, and the truth, side by side."""

    def __init__(self, directory: Path | None, config: ModelConfig) -> None:
        self.directory, self.saved = directory, 0
        self.palette = np.zeros((256, 3), np.uint8)
        for label in config.labels if directory is not None else ():
            self.palette[label["id"]] = [int(label["color"][i : i + 2], 16) for i in (1, 3, 5)]
        self.found: dict[str, Tensor] = {}

    def put(self, name: str, labels: Tensor) -> None:
        """A contender's labels of the batch at hand; its first ones stay."""
        self.found.setdefault(name, labels)

    def save(self, batch: Batch) -> None:
        """What was put of a batch, until there are 16 pictures."""
        found, self.found = self.found, {}
        if self.directory is None or not found:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        for i in range(min(len(batch.images), SHOWN - self.saved)):
            rows = {"frame": batch.images[i].numpy()}
            rows |= {name: self.palette[labels[i].numpy()] for name, labels in found.items()}
            rows["truth"] = self.palette[batch.labels[i].numpy()]
            height, width = batch.images.shape[1:3]
            picture = Image.new("RGB", (width * len(rows), height))
            draw = ImageDraw.Draw(picture)
            for column, (name, pixels) in enumerate(rows.items()):
                part = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
                picture.paste(part, (width * column, 0))
                draw.text((width * column + 3, 1), name, "white", stroke_width=1, stroke_fill="black")
            picture.save(self.directory / f"{self.saved:02}.png")
            self.saved += 1


def table(report: dict[str, Any]) -> str:
    """The scores as Markdown, a row per head, measure and seed."""
    columns = list(next(iter(report["heads"].values())))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for head, by in report["heads"].items():
        seeds = range(len(by[columns[0]]))
        for measure, value in by[columns[0]][0].items():
            if isinstance(value, dict):
                continue
            for i in seeds:
                which = f", seed {report['seeds'][i]}" if len(seeds) > 1 else ""
                lines.append(
                    f"| {head} {measure}{which} | "
                    + " | ".join(f"{by[c][i][measure]:.4f}" for c in columns)
                    + " |"
                )
            if len(seeds) > 1:
                means = [statistics.mean(by[c][i][measure] for i in seeds) for c in columns]
                lines.append(f"| {head} {measure}, mean | " + " | ".join(f"{m:.4f}" for m in means) + " |")
    for name, values in report.get("ceiling", {}).items():
        lines.append(f"\nideal patches, {name}: mean IoU {values['meanIoU']:.4f}")
    for upsampling, values in report.get("cost", {}).items():
        said = [
            f"{k.removesuffix(' bytes')} {v / 1e6:.1f} MB" if k.endswith(" bytes") else f"{k} {v:g}"
            for k, v in values.items()
        ]
        lines.append(f"\n{upsampling}: {', '.join(said)}")
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """IoU of every class (the mean of the seeds) by upsampling, and beside it the means."""
    from matplotlib.figure import Figure

    by = next(of for of in report["heads"].values() if "iou" in next(iter(of.values()))[0])
    names = list(next(iter(by.values()))[0]["iou"])
    figure = Figure(figsize=(4 + 0.5 * len(names), 4.5), layout="constrained")
    axes = figure.add_subplot(ylabel="IoU", ylim=(0, 1))
    width = 0.8 / len(by)
    for i, (upsampling, seeds) in enumerate(by.items()):
        means = [statistics.mean(s["meanIoU"] for s in seeds), statistics.mean(s["boundaryF"] for s in seeds)]
        values = [statistics.mean(s["iou"].get(name, 0.0) for s in seeds) for name in names]
        places = np.arange(len(names) + 2) + (i - (len(by) - 1) / 2) * width
        axes.bar(places, [*means, *values], width, label=upsampling)
    axes.set_xticks(range(len(names) + 2), ["mean IoU", "boundary F", *names], rotation=60, ha="right")
    best = report.get("ceiling", {}).get("best neighbour")
    if best is not None:
        axes.plot([-0.45, 0.45], [best["meanIoU"]] * 2, "k--", linewidth=1, label="ceiling")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def load_probes(
    config: ModelConfig, kinds: Sequence[str], directory: Path, seeds: Sequence[int]
) -> dict[int, nn.ModuleDict]:
    probes = {}
    for seed in seeds:
        path = directory / f"probes-{seed}.safetensors"
        if not path.is_file():
            raise ValueError(f"{path}: no such file (expected: what train-heads wrote for --seeds)")
        probes[seed] = fresh_heads(config, kinds)
        others = [f"{kind}." for kind in KINDS if kind not in kinds]
        load_strict(probes[seed], read_state_dict(path), path, others)
    return probes


def run(arguments: argparse.Namespace) -> int:
    config = ModelConfig.load(arguments.config)
    device = prepare(arguments)
    if arguments.bundle is not None:
        bundle = Bundle.load(arguments.bundle)
        config = config_of(bundle, config)
    frames = open_frames(arguments, config, "val")
    if arguments.show is not None and frames.labels is None:
        raise ValueError(f"--show: {frames.directory} has no labels (expected: labels to paint)")
    images = min(arguments.images, len(frames))
    report: dict[str, Any] = {"data": str(arguments.data), "frames": images, "tolerance": arguments.tolerance}
    if arguments.weights is not None:
        report["seeds"] = arguments.seeds
        kinds = kinds_of(arguments, config)
        model = DenseModel.load(config, arguments.weights, parts=("backbone",)).to(device)
        upsamplers = {k: load_upsampler(config.of_kind(k), arguments.weights).to(device) for k in kinds}
        probes = load_probes(config, kinds, arguments.weights, arguments.seeds)
        probes = {seed: heads.to(device) for seed, heads in probes.items()}
        report["heads"] = evaluate(
            model, upsamplers, probes, frames, images, arguments.tolerance, arguments.show
        )
        if arguments.cost:
            report["cost"] = costs(config, kinds, torch.get_num_threads(), device.type)
    else:
        report["seeds"] = [0]
        report["sha256"] = bundle.sha256
        report["heads"] = evaluate_bundle(
            config, bundle, arguments.variant, frames, images, arguments.tolerance, arguments.show
        )
    if arguments.ceiling:
        report["ceiling"] = ceiling(config, frames, images, arguments.balance)
    print(table(report))
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps(report, indent=1) + "\n")
        if any(head.kind == "segmentation" for head in judged_heads(config, frames)):
            plot(report, arguments.report.with_suffix(".png"))
    return 0


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a trained model, or a bundle, on labelled frames",
        description="Mean IoU, IoU per class, pixel accuracy, F-score of the boundaries, and relative depth "
        "error on labelled frames. With --weights: several upsamplers side by side, the time and memory of "
        "each, for one or more seeds of the probes; with --bundle: its TorchScript, at its own input size.",
    )
    add_common(parser, "val")
    add_kinds(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", type=Path, metavar="DIR", help="the training commands' --output")
    what.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--variant", default="cpu-fp32", help="of the bundle (default cpu-fp32)")
    parser.add_argument("--images", type=int, default=300, help="at most this many frames (default 300)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of train-heads, with --weights (default 0)"
    )
    parser.add_argument(
        "--tolerance", type=int, default=2, help="of the boundary F-score, in pixels (default 2)"
    )
    parser.add_argument(
        "--ceiling",
        action="store_true",
        help="also what ideal patches would reach: nearest, bilinear, best pick",
    )
    parser.add_argument(
        "--balance", type=float, default=0.5, help="class weights of --ceiling, as in training (default 0.5)"
    )
    parser.add_argument(
        "--cost",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with --weights: measure time and memory of one frame (default: yes)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all scores as JSON, and a plot")
    parser.add_argument(
        "--show",
        type=Path,
        metavar="DIR",
        help=f"pictures of {SHOWN} frames: the labels beside the truth",
    )
    parser.set_defaults(run=run)
