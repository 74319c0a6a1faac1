"""Agreement of what the JVM computed with the readable model: the whole way from weights to numbers."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uplift_toolkit.graph import Normalise
from uplift_toolkit.images import read_image
from uplift_toolkit.model import DenseModel, ModelConfig


@dataclass(frozen=True)
class Agreement:
    """How far one head's output for one image is from the readable model's.

    `difference` is the largest difference of values. A segmentation has in its place the largest margin, in
    the readable model's logits, among pixels with another label: labels with a larger margin are all equal.
    """

    image: str
    head: str
    kind: str
    difference: float
    equal: float | None = None  # share of labels


@torch.inference_mode()
def compare(model: DenseModel, images: Path, outputs: Path) -> Iterator[Agreement]:
    """`outputs` is what `uplift infer` wrote for `images`, which have the model's size."""
    size = model.config.input.size[::-1]
    normalise = Normalise(torch.float32, model.config)
    paths = sorted(path for path in images.iterdir() if path.suffix == ".png")
    if not paths:
        raise ValueError(f"{images}: no *.png (expected: images of the model's size)")
    for path in paths:
        image = read_image(path)
        if image.size != size:
            raise ValueError(f"{path}: size {image.size} (expected: the model's, {size})")
        expected = model(normalise(torch.from_numpy(np.asarray(image).copy())[None]))
        for head in model.config.heads:
            wanted = expected[head.name][0]
            if head.kind == "segmentation":
                found = torch.from_numpy(np.asarray(Image.open(outputs / f"{path.stem}.labels.png")).copy())
                yield Agreement(path.stem, head.name, head.kind, *labels_agree(wanted, found.long()))
                continue
            found = torch.from_numpy(np.load(outputs / f"{path.stem}.{head.name}.npy")).float()
            if found.shape != wanted.shape:
                raise ValueError(f"{head.name}: {list(found.shape)} (expected: {list(wanted.shape)})")
            wanted = wanted.exp() if head.log else wanted
            yield Agreement(path.stem, head.name, head.kind, float((found - wanted).abs().max()))


def labels_agree(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The largest margin in logits [K,H,W] of a pixel with another label [H,W]; the share of equal labels."""
    if labels.shape != logits.shape[1:]:
        raise ValueError(f"labels: {list(labels.shape)} (expected: {list(logits.shape[1:])})")
    margins = logits.max(0).values - logits.gather(0, labels[None])[0]
    return float(margins.max()), float((labels == logits.argmax(0)).float().mean())


def register(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "agree",
        help="hold what the JVM computed against the readable model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Runs the readable model on images of its size and prints the largest difference from what\n"
            "`uplift infer` wrote for them. Of a segmentation it prints the share of equal labels and the\n"
            "largest margin (best logit minus the one of the label found) among those that differ: every\n"
            "label whose margin is above that is equal."
        ),
        epilog=(
            "example:\n"
            "  ./uplift infer --bundle BUNDLE --precision fp32 --input IMAGES --output OUT\n"
            "  python -m uplift_toolkit agree --config FILE --images IMAGES --outputs OUT --tolerance 1e-3"
        ),
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the model's YAML file")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="as of export")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="PNGs of the model's size")
    parser.add_argument("--outputs", type=Path, required=True, metavar="DIR", help="of uplift infer")
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="exit code 1 if a difference or margin is above X"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    model = DenseModel.load(ModelConfig.load(arguments.config), arguments.weights)
    largest = 0.0
    for row in compare(model, arguments.images, arguments.outputs):
        what = "difference" if row.equal is None else f"margin, {row.equal:.4%} of the labels equal"
        print(f"{row.image:12} {row.head:14} {row.difference:9.2e} largest {what}", flush=True)
        largest = max(largest, row.difference)
    if arguments.tolerance is not None and not largest <= arguments.tolerance:
        print(f"{largest:.2e} (expected: <= {arguments.tolerance:g})")
        return 1
    return 0
