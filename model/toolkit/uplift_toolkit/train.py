"""Training of the backbone (with labels) and of the upsampler (without); heads are fitted by `probe`."""

from __future__ import annotations

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
from uplift_toolkit.data import VOID, Frames, class_weights
from uplift_toolkit.graph import Normalise
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import attend_at, bilinear_at, step_inputs
from uplift_toolkit.pyramid import Pyramids, Recipe, centres, feature_pyramids
from uplift_toolkit.training import Training, add_run, add_training, mixed_precision, prepare
from uplift_toolkit.uplift import LocalAttender, Uplift, auto_residual, resize
from uplift_toolkit.weights import load_strict, read_state_dict


def open_frames(arguments: argparse.Namespace, config: ModelConfig) -> Frames:
    """The frames of `--data`, in at most twice the size of the model's input."""
    size = (2 * config.input.height, 2 * config.input.width)
    return Frames(arguments.data, size, len(config.labels), arguments.split)


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


def train_upsampler(arguments: argparse.Namespace) -> int:
    """The paper's recipe (UPLiFT, arXiv 2601.17950): reduced images must give the larger ones' features."""
    config = ModelConfig.load(arguments.config)
    device = prepare(arguments)
    size = config.input.size
    frames = open_frames(arguments, config)
    model = DenseModel.load(config, arguments.output, parts=("backbone",)).to(device)
    upsampler = model.upsampler
    attender = CellAttender(upsampler.decoder.width, config.uplift["uplift"]["attender"])
    upsampler.attender = attender
    upsampler.to(device, memory_format=torch.channels_last)  # twice as fast on a CPU
    if arguments.init:
        start_from(upsampler, arguments.init)
    levels = arguments.levels or config.steps
    recipe = Recipe(
        size,
        config.backbone.patch,
        levels,
        arguments.larger,
        arguments.shifted,
        arguments.images,
        arguments.seed,
    )
    unit = config.backbone.patch << (levels - recipe.base)
    if size[0] % unit or size[1] % unit:
        raise ValueError(
            f"input: {size[1]}x{size[0]} (expected with {levels} levels: multiples of {unit}; see --levels)"
        )
    modules: dict[str, nn.Module] = {"upsampler": upsampler}
    if arguments.task_loss > 0:
        frames.require("labels")
        task = LinearHead(config.backbone.dim, HeadConfig("task", "segmentation", len(config.labels))).to(
            device
        )
        modules["task"] = task
    training = Training("upsampler", modules, 0.0, arguments)
    pyramids = feature_pyramids(model, frames, recipe, arguments.cache or arguments.output, device)
    weights = class_weights(frames.class_shares(), arguments.balance).to(device)
    if arguments.task_loss > 0 and not arguments.resume:
        fit_to_patches(task, pyramids, weights.cpu(), arguments.seed)
    precision = mixed_precision(arguments.precision, device)
    upsampler.train()
    for _ in training:
        chosen = np.sort(
            training.rng.choice(len(pyramids), min(arguments.batch, len(pyramids)), replace=False)
        )
        losses: dict[str, Tensor] = {}
        numbers: dict[str, float] = {}
        with precision:
            # The paper sums over the levels; one at a time is the same in the mean, and steps are cheaper.
            level = int(training.rng.integers(1, levels + 1))
            example = Example.of(pyramids, chosen, level, training.rng, device)
            losses[f"L2/{level}"], numbers[f"bilinear/{level}"] = example.errors(upsampler, config.steps)
            if arguments.task_loss > 0:
                part = _random_part(pyramids, chosen, training.rng, device)
                loss = task_loss(upsampler, task, config.steps, weights, *part)
                losses["task"] = arguments.task_loss * loss
        training.update(losses, len(chosen), **numbers)
    settle_norms(upsampler, pyramids, config.steps, device)
    training.save()
    return 0


def start_from(upsampler: Uplift, path: Path) -> None:
    """Loads weights; an attender over other neighbours than the file's starts anew."""
    state, own = read_state_dict(path), upsampler.state_dict()
    names = [name for name in own if name.startswith("attender.")]
    if any(name not in state or state[name].shape != own[name].shape for name in names):
        print(f"{path}: no attender over {len(upsampler.attender.offsets)} neighbours, it starts anew")
        state |= {name: own[name] for name in names}
    load_strict(upsampler, state, path)


@dataclass(frozen=True)
class Example:
    """Images [N,3,H,W] and features [N,C,h,w] of one level, and what the upsampler should make of them:
    `plain[j]` after step j + 1, and at the moved cells of the next larger level `moved` after the last."""

    images: Tensor
    features: Tensor
    plain: list[Tensor]
    moved: tuple[Tensor, Tensor] | None

    @staticmethod
    def of(
        pyramids: Pyramids, chosen: np.ndarray, level: int, rng: np.random.Generator, device: torch.device
    ) -> Example:
        """Of the chosen images; images of the model's input size are cut to a random quarter."""
        recipe = pyramids.recipe
        grid = pyramids.plain[level].shape[2:]
        cut = level == recipe.base
        h, w = (grid[0] // 2, grid[1] // 2) if cut else grid
        top, left = int(rng.integers(grid[0] - h + 1)), int(rng.integers(grid[1] - w + 1))

        def cells(features: np.ndarray, scale: int) -> Tensor:
            rows = slice(scale * top, scale * (top + h))
            columns = slice(scale * left, scale * (left + w))
            return torch.from_numpy(features[chosen][:, :, rows, columns]).to(device).float()

        images = pyramids.normalise(torch.from_numpy(pyramids.images[chosen]).to(device))
        reduction = level - recipe.base
        images = resize(images, (recipe.size[0] >> reduction, recipe.size[1] >> reduction))
        patch = recipe.patch
        images = images[:, :, top * patch : (top + h) * patch, left * patch : (left + w) * patch]
        moved = None
        if recipe.shifted:
            shifts = torch.from_numpy(pyramids.shifts[chosen]).to(device).float() / patch
            moved = cells(pyramids.shifted[level - 1], 2), shifts
        plain = [cells(pyramids.plain[level - j], 2**j) for j in range(1, level + 1)]
        return Example(images, cells(pyramids.plain[level], 1), plain, moved)

    def errors(self, upsampler: Uplift, steps: int) -> tuple[Tensor, float]:
        """The sum of the squared errors, each a mean, of UPLiFT and of bilinear upsampling."""
        needed = steps if self.moved is not None else min(steps, len(self.plain))
        inputs = step_inputs(upsampler, self.images, self.features, needed)
        pairs = [(value, t) for (_, value), t in zip(inputs[1:], self.plain, strict=False)]
        if needed <= len(self.plain):
            pairs.append((upsampler.attender(*inputs[-1]), self.plain[needed - 1]))
        plain = [(F.interpolate(self.features, t.shape[2:], mode="bilinear"), t) for _, t in pairs]
        if self.moved is not None:
            target, shifts = self.moved
            guide = inputs[-1][0]
            y, x = centres(target.shape[2:], shifts, guide.shape[2:])
            target = target[:, :, :-1, :-1].flatten(2).transpose(1, 2)
            pairs.append((attend_at(upsampler.attender, *inputs[-1], y, x), target))
            plain.append((bilinear_at(self.features, 1 << needed, y, x), target))
        loss = torch.stack([F.mse_loss(a.float(), b) for a, b in pairs]).sum()
        return loss, sum(float(F.mse_loss(a, b)) for a, b in plain)


@torch.no_grad()
def settle_norms(upsampler: Uplift, pyramids: Pyramids, steps: int, device: torch.device) -> None:
    """Takes the batch norms' statistics anew, from whole images of the size that inference has."""
    norms = [module for module in upsampler.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for i in range(0, min(32, len(pyramids)), 4):
        images = pyramids.normalise(torch.from_numpy(pyramids.images[i : i + 4].copy()).to(device))
        features = torch.from_numpy(pyramids.plain[pyramids.recipe.base][i : i + 4].astype(np.float32))
        step_inputs(upsampler, images, features.to(device), steps)
    upsampler.eval()


class CellAttender(LocalAttender):
    """The attender as one product [4,n]·[n,C] per low-resolution cell: the same output and parameters, and
    half the time of a training step."""

    def forward(self, guide: Tensor, value: Tensor) -> Tensor:
        n, channels, h, w = value.shape
        neighbours, reach = len(self.offsets), max(dy for dy, _ in self.offsets)
        weights = auto_residual(guide, self.conv1(guide)).softmax(dim=1)
        weights = weights.reshape(n, neighbours, h, 2, w, 2).permute(0, 2, 4, 3, 5, 1)
        padded = F.pad(value, (reach,) * 4, mode="replicate").permute(0, 2, 3, 1).contiguous()
        cells = [padded[:, reach + dy :, reach + dx :][:, :h, :w] for dy, dx in self.offsets]
        pooled = torch.bmm(
            weights.reshape(n * h * w, 4, neighbours),
            torch.stack(cells, dim=3).reshape(n * h * w, neighbours, channels),
        )
        out = pooled.reshape(n, h, w, 2, 2, channels).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(n, channels, 2 * h, 2 * w)


def _random_part(
    pyramids: Pyramids, chosen: np.ndarray, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The same part of half the height and half the width of images, features and labels."""
    patch, features = pyramids.recipe.patch, pyramids.plain[pyramids.recipe.base]
    h, w = features.shape[2] // 2, features.shape[3] // 2
    top, left = int(rng.integers(features.shape[2] - h + 1)), int(rng.integers(features.shape[3] - w + 1))
    y, x = slice(top * patch, (top + h) * patch), slice(left * patch, (left + w) * patch)
    images = pyramids.normalise(torch.from_numpy(pyramids.images[chosen][:, y, x]).to(device))
    part = torch.from_numpy(features[chosen][:, :, top : top + h, left : left + w]).float()
    labels = torch.from_numpy(pyramids.labels[chosen][:, y, x])
    return images, part.to(device), labels.to(device)


def fit_to_patches(head: LinearHead, pyramids: Pyramids, weights: Tensor, seed: int) -> None:
    """Starts the head where the upsampler has something to learn from it: on the pixels at patch centres."""
    patch = pyramids.recipe.patch
    labels = torch.from_numpy(pyramids.labels[:, patch // 2 :: patch, patch // 2 :: patch].flatten())
    features = (
        torch.from_numpy(np.array(pyramids.plain[pyramids.recipe.base])).permute(0, 2, 3, 1).flatten(0, 2)
    )
    chance = torch.cat([weights, torch.zeros(256 - len(weights))])[labels.long()]
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(chance, min(100_000, len(labels)), True, generator=generator)
    probe.fit(head, features[chosen], labels[chosen], 500, seed)


def task_loss(
    upsampler: Uplift,
    head: nn.Module,
    steps: int,
    weights: Tensor,
    images: Tensor,
    features: Tensor,
    labels: Tensor,
) -> Tensor:
    """Cross entropy of a linear segmentation head at every pixel, rare classes weighted."""
    guide, value = step_inputs(upsampler, images, features, steps)[-1]
    logits = upsampler.attender(guide, head(value))
    return F.cross_entropy(logits, labels.long(), weight=weights, ignore_index=VOID)


def train_heads(arguments: argparse.Namespace) -> int:
    config = ModelConfig.load(arguments.config)
    device = prepare(arguments)
    frames = open_frames(arguments, config)
    kinds = {head.kind for head in config.heads}
    frames.require(*[k for k, of in (("labels", "segmentation"), ("depth", "regression")) if of in kinds])
    model = DenseModel.load(config, arguments.output, parts=("backbone", "upsampler")).to(device)
    weights = class_weights(frames.class_shares(), arguments.balance)
    report: dict[str, Any] = {k: getattr(arguments, k) for k in ("images", "pixels", "steps", "balance")}
    seeds = [arguments.seed + i for i in range(arguments.probes)]
    by_seed = probe.sample_features(model, frames, arguments.images, arguments.pixels, weights, seeds)
    for seed, samples in zip(seeds, by_seed, strict=True):
        heads = probe.fresh_heads(config)
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
        if seed == arguments.seed:
            save_file(heads["uplift"].state_dict(), arguments.output / "heads.safetensors")
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
        help="train UPLiFT on the frozen backbone's features: images suffice",
        description="Trains the upsampler without labels: from the features of a reduced image it must give "
        "those of the larger ones. Logs the squared error beside that of bilinear. Takes the backbone from "
        "--output, or from where the configuration says; keeps its features on disk for the next run.",
    )
    add_run(upsampler, steps=1500, batch=4, lr=2e-3)
    upsampler.add_argument("--images", type=int, default=400, help="whose features are kept (default 400)")
    upsampler.add_argument("--cache", type=Path, metavar="DIR", help="of features (default: --output)")
    upsampler.add_argument("--levels", type=int, help="how often images are halved (default: steps)")
    upsampler.add_argument(
        "--larger",
        action="store_true",
        help="also learn from the features of the images at twice the input's size, which the frames need",
    )
    upsampler.add_argument(
        "--shifted",
        action="store_true",
        help="also learn from features on a grid of patches moved by parts of a patch: what the last step "
        "should give at its own resolution",
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
        "sampled pixels; the same for nearest and bilinear upsampling, which evaluate compares.",
    )
    add_training(heads)
    heads.add_argument("--images", type=int, default=400, help="frames to sample from (default 400)")
    heads.add_argument("--pixels", type=int, default=500, help="per frame and head (default 500)")
    heads.add_argument("--steps", type=int, default=2000, help="of the fit (default 2000)")
    heads.add_argument(
        "--probes", type=int, default=1, help="so many fits, with seeds --seed, --seed + 1, … (default 1)"
    )
    heads.set_defaults(run=train_heads)
