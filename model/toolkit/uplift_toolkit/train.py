"""The training commands: the backbone's and the heads' runs, and the options of all three."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from uplift_toolkit import probe
from uplift_toolkit.data import class_weights
from uplift_toolkit.graph import Normalise
from uplift_toolkit.model import DenseModel, ModelConfig, load_upsampler
from uplift_toolkit.train_upsampler import LOSSES, train_upsampler
from uplift_toolkit.training import (
    Training,
    add_kinds,
    add_run,
    add_training,
    kinds_of,
    mixed_precision,
    open_frames,
    prepare,
)
from uplift_toolkit.upsamplers import KINDS, PLAIN
from uplift_toolkit.weights import load_strict, read_state_dict


def patch_histograms(labels: Tensor, patch: int, classes: int) -> Tensor:
    """Labels u8 [N,H,W] to the share of every class in every patch, float [N,classes,H/patch,W/patch]."""
    n, height, width = labels.shape
    h, w = height // patch, width // patch
    cells = torch.arange(n * h * w).reshape(n, h, 1, w, 1)
    keys = cells * (classes + 1) + labels.reshape(n, h, patch, w, patch).long().clamp(max=classes)
    counts = torch.bincount(keys.flatten(), minlength=n * h * w * (classes + 1))
    counts = counts.reshape(n, h, w, classes + 1)[..., :classes].permute(0, 3, 1, 2)
    return counts.float() / patch**2


def patch_log_depths(depth: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Metres [N,H,W] to the mean logarithm in every patch [N,1,h,w], and the share of known pixels."""
    known = (depth > 0).float()[:, None]
    share = F.avg_pool2d(known, patch)
    total = F.avg_pool2d(torch.log(depth.clamp(min=0.1))[:, None] * known, patch)
    return total / share.clamp(min=1e-6), share


@dataclass(frozen=True)
class Scale:
    """An image size to train on: how many at once, and how often before and after `LATE`."""

    size: tuple[int, int]
    batch: int
    early: float
    late: float


# Windows of half the size cost a sixth of the whole input, so most of the learning is done on them; the
# positions and contexts of the whole input are learnt in the last part.
LATE = 0.55


def scales(size: tuple[int, int], patch: int, batch: int) -> list[Scale]:
    """The input size and its halves: the upsampler is trained on features of images reduced by 2, 4 and 8."""
    shares = [(0.08, 0.60), (0.74, 0.25), (0.13, 0.10), (0.05, 0.05)]
    sizes = [(size[0] >> k, size[1] >> k) for k in range(len(shares))]
    fits = [s[0] % patch == 0 and s[1] % patch == 0 for s in sizes]
    return [
        Scale(s, batch * min(4**k, 8), *share)
        for k, (s, share, fit) in enumerate(zip(sizes, shares, fits, strict=True))
        if fit
    ]


def train_backbone(arguments: argparse.Namespace) -> int:
    config = ModelConfig.load(arguments.config)
    device = prepare(arguments)
    frames = open_frames(arguments, config)
    frames.require("labels")
    classes = len(config.labels)
    weights = class_weights(frames.class_shares(), arguments.balance)
    backbone = DenseModel(config).backbone
    if arguments.init:
        load_strict(backbone, read_state_dict(arguments.init), arguments.init)
    # What the features must say, read off them linearly: the classes in the patch and its distance.
    readout = nn.Conv2d(config.backbone.dim, classes + 1, 1)
    normalise = Normalise(torch.float32, config)
    modules = {"backbone": backbone.to(device), "readout": readout.to(device)}
    training = Training("backbone", modules, 0.05, arguments)
    sizes = scales(config.input.size, config.backbone.patch, arguments.batch)
    precision = mixed_precision(arguments.precision, device)
    backbone.train()
    for _ in training:
        rng = training.rng
        shares = np.array([s.late if training.progress > LATE else s.early for s in sizes])
        scale = sizes[rng.choice(len(sizes), p=shares / shares.sum())]
        whole = 0.6 if scale is sizes[0] else 0.25
        picks = [
            (int(i), frames.random_window(scale.size, whole, rng))
            for i in rng.integers(len(frames), size=scale.batch)
        ]
        batch = frames.batch(picks, scale.size)
        images = change_light(normalise(batch.images), rng).to(device)
        target = patch_histograms(batch.labels, config.backbone.patch, classes) * weights[:, None, None]
        depth, known = patch_log_depths(batch.depth, config.backbone.patch)
        target, depth, known = target.to(device), depth.to(device), known.to(device)
        with precision:
            read = readout(backbone(images)).float()
        entropy = -(target * read[:, :classes].log_softmax(1)).sum() / target.sum().clamp(min=1e-6)
        # The readout gives (log depth - 2.5), about centred for metres on a street.
        distance = ((read[:, classes:] + 2.5 - depth).abs() * known).sum() / known.sum().clamp(min=1)
        losses = {"classes": entropy, "depth": 0.5 * distance}
        training.update(losses, scale.batch, **{f"classes@{scale.size[1]}": float(entropy.detach())})
    return 0


def change_light(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Another contrast, brightness and tint for every normalised image [N,3,H,W]."""
    n = images.shape[0]
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (n, 1, 1, 1)) * rng.uniform(0.95, 1.05, (n, 3, 1, 1)))
    shift = torch.from_numpy(rng.uniform(-0.25, 0.25, (n, 1, 1, 1)))
    return images * gain.float() + shift.float()


def train_heads(arguments: argparse.Namespace) -> int:
    config = ModelConfig.load(arguments.config)
    device = prepare(arguments)
    frames = open_frames(arguments, config)
    read = {head.kind for head in config.heads}
    frames.require(*[k for k, of in (("labels", "segmentation"), ("depth", "regression")) if of in read])
    model = DenseModel.load(config, arguments.output, parts=("backbone",)).to(device)
    chosen = kinds_of(arguments, config)
    upsamplers = {k: load_upsampler(config.of_kind(k), arguments.output).to(device) for k in chosen}
    weights = class_weights(frames.class_shares(), arguments.balance)
    report: dict[str, Any] = {k: getattr(arguments, k) for k in ("images", "pixels", "steps", "balance")}
    seeds = [arguments.seed + i for i in range(arguments.probes)]
    by_seed = probe.sample_features(
        model, upsamplers, frames, arguments.images, arguments.pixels, weights, seeds
    )
    for seed, samples in zip(seeds, by_seed, strict=True):
        heads = probe.fresh_heads(config, chosen)
        losses: dict[str, dict[str, float]] = {}
        for (name, upsampling), (features, targets) in samples.items():
            if len(targets) == 0:
                raise ValueError(f"head {name}: no labelled pixel in {arguments.images} frames")
            loss = probe.fit(heads[upsampling][name], features, targets, arguments.steps, seed)
            losses.setdefault(name, {})[upsampling] = loss
            print(
                f"heads  seed {seed}  {name}  {upsampling}  {len(targets)} pixels  loss {loss:.4f}",
                flush=True,
            )
        report[f"loss, seed {seed}"] = losses
        save_file(heads.state_dict(), arguments.output / f"probes-{seed}.safetensors")
        if seed == arguments.seed and config.kind in chosen:
            save_file(heads[config.kind].state_dict(), arguments.output / "heads.safetensors")
    (arguments.output / "heads.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


def register(subparsers: Any) -> None:
    backbone = subparsers.add_parser(
        "train-backbone",
        help="train the backbone on labelled frames",
        description="Trains the backbone so that the classes and the distance in every patch can be read off "
        "its features linearly, on windows of several scales with interpolated positions. Needs labels/; "
        "depth/ is used if it is there.",
    )
    add_run(backbone, steps=5000, batch=4, lr=3e-3)
    backbone.set_defaults(run=train_backbone)
    upsampler = subparsers.add_parser(
        "train-upsampler",
        help="train the upsampler on the frozen backbone's features: images suffice",
        description="Trains the upsampler, UPLiFT or another, without labels: from the features of a reduced "
        "image it must give those of the larger ones. Logs the error beside that of bilinear. Takes the "
        "backbone from --output, or from where the configuration says; keeps its features on disk for the "
        "next run.",
    )
    add_run(upsampler, steps=1500, batch=4, lr=2e-3)
    upsampler.add_argument(
        "--kind",
        choices=[kind for kind in KINDS if kind not in PLAIN],
        help="in place of the configuration's upsampler, one of this kind in its published size, which is "
        "written as upsampler-KIND beside it",
    )
    upsampler.add_argument(
        "--loss",
        choices=LOSSES,
        default="l2",
        help="l2: the paper's and NAF's; cosine: the main term of JAFAR's and AnyUp's, of directions and of "
        "channels scaled to the target's extremes (default l2)",
    )
    upsampler.add_argument("--images", type=int, default=400, help="whose features are kept (default 400)")
    upsampler.add_argument("--cache", type=Path, metavar="DIR", help="of features (default: --output)")
    upsampler.add_argument("--levels", type=int, help="how often images are halved (default: steps)")
    upsampler.add_argument(
        "--larger",
        action="store_true",
        help="also learn from the features of the images at twice the input's size, to which smaller frames "
        "are enlarged",
    )
    upsampler.add_argument(
        "--shifted",
        action="store_true",
        help="also learn from features on a grid of patches moved by parts of a patch: what the last step "
        "should give at its own resolution",
    )
    upsampler.add_argument(
        "--whole",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the examples at the input's size (those of --larger and --task-loss) that stay whole; the "
        "others are cut to a random quarter. Kinds that look at places in the image (jafar, anyup, loftup, "
        "naf) need some to learn the input's own places; they cost 4 times a quarter, and 16 times in "
        "jafar's and loftup's attention (default 0)",
    )
    upsampler.add_argument(
        "--task-loss",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="also learn from the labels: cross entropy of a linear head at every pixel (default 0: not)",
    )
    upsampler.set_defaults(run=train_upsampler)
    heads = subparsers.add_parser(
        "train-heads",
        help="fit the linear heads on frozen, upsampled features",
        description="Fits segmentation and regression heads and the principal components of the features, at "
        "sampled pixels; the same for every upsampler that evaluate is to compare.",
    )
    add_training(heads)
    add_kinds(heads)
    heads.add_argument("--images", type=int, default=400, help="frames to sample from (default 400)")
    heads.add_argument("--pixels", type=int, default=500, help="per frame and head (default 500)")
    heads.add_argument("--steps", type=int, default=2000, help="of the fit (default 2000)")
    heads.add_argument(
        "--probes", type=int, default=1, help="so many fits, with seeds --seed, --seed + 1, … (default 1)"
    )
    heads.set_defaults(run=train_heads)
