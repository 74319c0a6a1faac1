"""What a model is worth on unseen frames: nearest, bilinear and UPLiFT with the same probe recipe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from uplift_toolkit.bundle import Bundle
from uplift_toolkit.data import VOID, Frames
from uplift_toolkit.graph import Normalise
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import UPSAMPLINGS, Upsampled, fresh_heads, truth


class Confusion:
    """Counts of (true class, predicted class) over the labelled pixels."""

    def __init__(self, labels: Sequence[dict[str, Any]]) -> None:
        self.names = [label["name"] for label in labels]
        self.counts = np.zeros((len(labels), len(labels)), np.int64)

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        known = truth != VOID
        classes = len(self.names)
        keys = truth[known].long() * classes + predicted[known].long()
        self.counts += torch.bincount(keys, minlength=classes**2).reshape(classes, classes).numpy()

    def report(self) -> dict[str, Any]:
        """Pixel accuracy, IoU of every class that is present in the truth, and their mean."""
        hits, actual = np.diag(self.counts), self.counts.sum(1)
        union = actual + self.counts.sum(0) - hits
        present = np.flatnonzero(actual)
        iou = {self.names[i]: round(float(hits[i] / union[i]), 4) for i in present}
        return {
            "pixelAccuracy": round(float(hits.sum() / max(1, actual.sum())), 4),
            "meanIoU": round(float(np.mean(list(iou.values()))), 4) if iou else 0.0,
            "iou": iou,
        }


class RelativeError:
    """Mean of |predicted - true| / true over the pixels that have a truth."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        known = truth > 0
        self.total += float(((predicted[known] - truth[known]).abs() / truth[known]).sum())
        self.count += int(known.sum())

    def report(self) -> dict[str, Any]:
        return {"absRel": round(self.total / max(1, self.count), 4)}


def score_of(head: HeadConfig, config: ModelConfig) -> Confusion | RelativeError:
    return Confusion(config.labels) if head.kind == "segmentation" else RelativeError()


@torch.inference_mode()
def evaluate(
    model: DenseModel, probes: torch.nn.ModuleDict, frames: Frames, images: int | None
) -> dict[str, dict[str, Any]]:
    """By head and upsampling: the scores of the readable model with the heads in `probes`."""
    config = model.config
    heads = [head for head in config.heads if head.kind != "features"]
    scores = {head.name: {u: score_of(head, config) for u in UPSAMPLINGS} for head in heads}
    normalise = Normalise(torch.float32)
    for batch in frames.whole_batches((config.input.height, config.input.width), 4, images):
        upsampled = Upsampled(model, normalise(batch.images))
        for head in heads:
            for upsampling, score in scores[head.name].items():
                values = upsampled.head_map(upsampling, probes[upsampling][head.name])
                predicted = values.argmax(1) if head.kind == "segmentation" else values[:, 0]
                score.add(truth(head, batch), predicted.exp() if head.log else predicted)
    return {name: {u: s.report() for u, s in by.items()} for name, by in scores.items()}


def evaluate_bundle(
    config: ModelConfig, directory: Path, variant: str, frames: Frames, images: int | None, show: Path | None
) -> dict[str, dict[str, Any]]:
    """By head: the scores of a bundle's TorchScript. `show` gets the first pictures: image, labels, truth."""
    bundle = Bundle.load(directory)
    infer = bundle.load_variant(variant)
    heads = [head for head in config.heads if head.kind != "features"]
    scores = {head.name: score_of(head, config) for head in heads}
    shown = 0
    for batch in frames.whole_batches((config.input.height, config.input.width), 4, images):
        outputs = bundle.outputs_by_head(infer(batch.images.numpy()))
        for head in heads:
            predicted = torch.from_numpy(outputs[head.name])
            if head.kind == "segmentation":
                scores[head.name].add(truth(head, batch), predicted)
                if show is not None and shown < 16:
                    for row in zip(batch.images, predicted, batch.labels, strict=True):
                        save_picture(show / f"{shown:02}.png", config, *row)
                        shown += 1
            else:
                scores[head.name].add(truth(head, batch), predicted[:, 0].float())
    return {name: {variant: score.report()} for name, score in scores.items()}


def save_picture(path: Path, config: ModelConfig, image: Tensor, predicted: Tensor, labels: Tensor) -> None:
    """Image, predicted labels and true labels in their colours, side by side."""
    palette = np.zeros((256, 3), np.uint8)
    for label in config.labels:
        palette[label["id"]] = [int(label["color"][i : i + 2], 16) for i in (1, 3, 5)]
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [image.numpy(), palette[predicted.numpy()], palette[labels.numpy()]]
    Image.fromarray(np.concatenate(parts, axis=1)).save(path)


def run(arguments: argparse.Namespace) -> int:
    config = ModelConfig.load(arguments.config)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    frames = Frames(arguments.data)
    report: dict[str, Any] = {"data": str(arguments.data), "frames": min(len(frames), arguments.images)}
    if arguments.weights is not None:
        model = DenseModel.load(config, arguments.weights, parts=("backbone", "upsampler"))
        probes = fresh_heads(config)
        probes.load_state_dict(load_file(arguments.weights / "probes.safetensors"))
        report["heads"] = evaluate(model, probes, frames, arguments.images)
    else:
        report["sha256"] = Bundle.load(arguments.bundle).sha256
        report["heads"] = evaluate_bundle(
            config, arguments.bundle, arguments.variant, frames, arguments.images, arguments.show
        )
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.report is not None:
        arguments.report.write_text(text + "\n")
    return 0


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a trained model, or a bundle, on labelled frames",
        description="Mean IoU, IoU per class, pixel accuracy and relative depth error on labelled frames. "
        "With --weights: nearest, bilinear and UPLiFT side by side; with --bundle: its TorchScript.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the model's YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="images/, labels/, depth/")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", type=Path, metavar="DIR", help="the training commands' --output")
    what.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--variant", default="cpu-fp32", help="of the bundle (default cpu-fp32)")
    parser.add_argument("--images", type=int, default=200, help="at most this many frames (default 200)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the scores here, as JSON")
    parser.add_argument(
        "--show", type=Path, metavar="DIR", help="with --bundle: pictures of the first 16 frames"
    )
    parser.add_argument("--threads", type=int, default=0, help="default: torch's choice")
    parser.set_defaults(run=run)
