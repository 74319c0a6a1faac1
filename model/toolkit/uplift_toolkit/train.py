"""Training of the backbone (with labels) and of the upsampler (without); heads are fitted by `probe`.

Everything of one model goes to one directory: `<part>.safetensors` (what `export --weights` reads),
`<part>.checkpoint.pt` (what `--resume` continues from) and `<part>.json` (the report).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uplift_toolkit import probe
from uplift_toolkit.data import VOID, Frames, class_weights
from uplift_toolkit.graph import Normalise
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import step_inputs
from uplift_toolkit.uplift import LocalAttender, Uplift, auto_residual, resize

LOG_STEPS = 20


class Training:
    """One run: AdamW with warm-up and cosine decay, a progress line, checkpoints that `--resume` continues.

    It ends after `--steps`, or after `--minutes` of training; the learning rate follows whichever is nearer.
    Iterate for the step numbers and call `update` once in each.
    """

    def __init__(
        self, part: str, modules: dict[str, nn.Module], weight_decay: float, arguments: argparse.Namespace
    ) -> None:
        self.part, self.modules, self.arguments = part, modules, arguments
        self.directory: Path = arguments.output
        self.directory.mkdir(parents=True, exist_ok=True)
        self.parameters = [p for module in modules.values() for p in module.parameters()]
        matrices = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=arguments.lr, weight_decay=weight_decay)
        self.rng = np.random.default_rng(arguments.seed)
        self.step, self.elapsed, self.images = 0, 0.0, 0
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        if arguments.resume:
            self._restore()

    @property
    def progress(self) -> float:
        """Between 0 and 1: the share of the steps or of the minutes that is done."""
        minutes = self.arguments.minutes
        return max(self.step / self.arguments.steps, self.elapsed / (60 * minutes) if minutes else 0.0)

    def __iter__(self) -> Iterator[int]:
        saved = started = time.monotonic()
        before = self.elapsed
        while self.progress < 1:
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.elapsed = before + now - started
            if self.step % LOG_STEPS == 0 or self.progress >= 1:
                self._log()
            if now - saved > 60 * self.arguments.save_minutes:
                self.save()
                saved = now
        self.save()

    def update(self, losses: dict[str, Tensor], images: int, **numbers: float) -> None:
        """One step of the optimiser on the sum of `losses`; `numbers` are only logged."""
        warm = min(1.0, self.progress / 0.03 + 0.01)
        rate = self.arguments.lr * warm * max(0.01, 0.5 + 0.5 * math.cos(math.pi * self.progress))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = torch.stack(list(losses.values())).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.images += images
        for name, value in {**{k: float(v.detach()) for k, v in losses.items()}, **numbers}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._sums[f"#{name}"] = self._sums.get(f"#{name}", 0.0) + 1

    def _log(self) -> None:
        names = [name for name in self._sums if not name.startswith("#")]
        means = {name: self._sums[name] / self._sums[f"#{name}"] for name in names}
        self._sums = {}
        row = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "images": self.images, **means}
        self.history.append(row)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        print(
            f"{self.part}  {100 * self.progress:5.1f} %  step {self.step}  {self.elapsed / 60:.1f} min  "
            f"{self.images / max(self.elapsed, 1e-9):.1f} images/s  {numbers}",
            flush=True,
        )

    def save(self) -> None:
        """Writes weights, checkpoint and report, each in one move: a stop at any time leaves whole files."""
        weights = {k: v.contiguous() for k, v in self.modules[self.part].state_dict().items()}
        checkpoint = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimiser": self.optimiser.state_dict(),
            "state": [self.step, self.elapsed, self.images, self.history],
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
        }
        settings = {k: v for k, v in vars(self.arguments).items() if k not in ("run", "command", "resume")}
        report = {"part": self.part, **json.loads(json.dumps(settings, default=str)), "history": self.history}
        name = f"{self.directory}/{self.part}"
        save_file(weights, f"{name}.safetensors.new")
        torch.save(checkpoint, f"{name}.checkpoint.pt.new")
        Path(f"{name}.json.new").write_text(json.dumps(report, indent=1) + "\n")
        for kind in ("safetensors", "checkpoint.pt", "json"):
            Path(f"{name}.{kind}.new").replace(f"{name}.{kind}")

    def _restore(self) -> None:
        path = self.directory / f"{self.part}.checkpoint.pt"
        if not path.is_file():
            raise ValueError(
                f"{path}: no such file (expected with --resume: the checkpoint of a stopped run)"
            )
        checkpoint = torch.load(path, weights_only=False)
        for name, module in self.modules.items():
            module.load_state_dict(checkpoint["modules"][name])
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.step, self.elapsed, self.images, self.history = checkpoint["state"]
        self.rng.bit_generator.state = checkpoint["rng"]
        torch.set_rng_state(checkpoint["torch_rng"])


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
    _prepare(arguments)
    frames = Frames(arguments.data)
    classes = len(config.labels)
    weights = class_weights(frames.class_shares(classes), arguments.balance)
    backbone = DenseModel(config).backbone
    # What the features must say, read off them linearly: the classes in the patch and its distance.
    readout = nn.Conv2d(config.vit.dim, classes + 1, 1)
    normalise = Normalise(torch.float32)
    training = Training("backbone", {"backbone": backbone, "readout": readout}, 0.05, arguments)
    sizes = scales((config.input.height, config.input.width), config.vit.patch, arguments.batch)
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
        images = change_light(normalise(batch.images), rng)
        target = patch_histograms(batch.labels, config.vit.patch, classes) * weights[:, None, None]
        depth, known = patch_log_depths(batch.depth, config.vit.patch)
        read = readout(backbone(images))
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


@dataclass(frozen=True)
class Pyramids:
    """Images u8 [K,H,W,3], their labels u8 [K,H,W], and the backbone's features of the images reduced by
    1, 2, 4, …: fp16 [K,C,h,w], [K,C,h/2,w/2], …"""

    images: Tensor
    labels: Tensor
    features: list[Tensor]


@torch.no_grad()
def feature_pyramids(
    backbone: nn.Module,
    frames: Frames,
    size: tuple[int, int],
    levels: int,
    count: int,
    rng: np.random.Generator,
) -> Pyramids:
    """Runs the frozen backbone once over `count` windows at every reduction."""
    normalise = Normalise(torch.float32)
    backbone.eval()
    images, labels = [], []
    features: list[list[Tensor]] = [[] for _ in range(levels + 1)]
    started = time.monotonic()
    chosen = rng.permutation(len(frames))[:count].tolist()
    for i in range(0, len(chosen), 8):
        picks = [(j, frames.random_window(size, 0.6, rng)) for j in chosen[i : i + 8]]
        batch = frames.batch(picks, size)
        images.append(batch.images)
        labels.append(batch.labels)
        full = normalise(batch.images)
        for k, level in enumerate(features):
            level.append(backbone(resize(full, (size[0] >> k, size[1] >> k))).half())
        if i % 200 == 0:
            print(f"features  {i}/{len(chosen)}  {(time.monotonic() - started) / 60:.1f} min", flush=True)
    return Pyramids(torch.cat(images), torch.cat(labels), [torch.cat(level) for level in features])


def train_upsampler(arguments: argparse.Namespace) -> int:
    """The paper's recipe (UPLiFT, arXiv 2601.17950): reduced images must give the larger ones' features."""
    config = ModelConfig.load(arguments.config)
    _prepare(arguments)
    frames = Frames(arguments.data)
    model = DenseModel.load(config, arguments.output, parts=("backbone",))
    backbone, upsampler = model.backbone, model.upsampler
    upsampler.attender = CellAttender(upsampler.decoder.width, config.uplift["uplift"]["attender"])
    if arguments.init:
        upsampler.load_state_dict(load_file(arguments.init))
    size = (config.input.height, config.input.width)
    unit = config.vit.patch << config.steps
    if size[0] % unit or size[1] % unit:
        raise ValueError(f"input: {size[1]}x{size[0]} (expected: multiples of patch · 2^steps = {unit})")
    task = LinearHead(config.vit.dim, HeadConfig("task", "segmentation", len(config.labels)))
    modules: dict[str, nn.Module] = {"upsampler": upsampler, "task": task}
    training = Training("upsampler", modules, 0.0, arguments)
    cache_rng = np.random.default_rng(arguments.seed)
    pyramids = feature_pyramids(backbone, frames, size, config.steps, arguments.images, cache_rng)
    weights = class_weights(frames.class_shares(len(config.labels)), arguments.balance)
    if arguments.task_loss > 0 and not arguments.resume:
        fit_to_patches(task, pyramids, weights, arguments.seed)
    normalise = Normalise(torch.float32)
    upsampler.train()
    for _ in training:
        chosen = torch.from_numpy(training.rng.integers(len(pyramids.images), size=arguments.batch))
        images = normalise(pyramids.images[chosen])
        features = [level[chosen].float() for level in pyramids.features]
        losses: dict[str, Tensor] = {}
        numbers: dict[str, float] = {}
        for level in range(1, config.steps + 1):
            reduced = resize(images, (size[0] >> level, size[1] >> level))
            targets = features[level - 1 :: -1]
            outputs = upsampler(reduced, features[level], level)
            losses[f"L2/{level}"] = torch.stack(
                [F.mse_loss(a, b) for a, b in zip(outputs, targets, strict=True)]
            ).sum()
            plain = [F.interpolate(features[level], t.shape[2:], mode="bilinear") for t in targets]
            numbers[f"bilinear/{level}"] = sum(
                float(F.mse_loss(a, b)) for a, b in zip(plain, targets, strict=True)
            )
        if arguments.task_loss > 0:
            part = _random_part(training.rng, images, features[0], pyramids.labels[chosen], config.vit.patch)
            losses["task"] = arguments.task_loss * task_loss(upsampler, task, config.steps, weights, *part)
        training.update(losses, arguments.batch, **numbers)
    return 0


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
    rng: np.random.Generator, images: Tensor, features: Tensor, labels: Tensor, patch: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The same part of half the height and half the width of images, features and labels."""
    h, w = features.shape[2] // 2, features.shape[3] // 2
    top, left = int(rng.integers(features.shape[2] - h + 1)), int(rng.integers(features.shape[3] - w + 1))
    y, x = slice(top * patch, (top + h) * patch), slice(left * patch, (left + w) * patch)
    return images[:, :, y, x], features[:, :, top : top + h, left : left + w], labels[:, y, x]


def fit_to_patches(head: LinearHead, pyramids: Pyramids, weights: Tensor, seed: int) -> None:
    """Starts the head where the upsampler has something to learn from it: on the pixels at patch centres."""
    patch = pyramids.images.shape[1] // pyramids.features[0].shape[2]
    labels = pyramids.labels[:, patch // 2 :: patch, patch // 2 :: patch].flatten()
    features = pyramids.features[0].permute(0, 2, 3, 1).flatten(0, 2)
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
    _prepare(arguments)
    frames = Frames(arguments.data)
    model = DenseModel.load(config, arguments.output, parts=("backbone", "upsampler"))
    weights = class_weights(frames.class_shares(len(config.labels)), arguments.balance)
    samples = probe.sample_features(
        model, frames, arguments.images, arguments.pixels, weights, arguments.seed
    )
    heads = probe.fresh_heads(config)
    losses: dict[str, dict[str, float]] = {}
    for (name, upsampling), (features, targets) in samples.items():
        loss = probe.fit(heads[upsampling][name], features, targets, arguments.steps, arguments.seed)
        losses.setdefault(name, {})[upsampling] = loss
        print(f"heads  {name}  {upsampling}  {len(targets)} pixels  loss {loss:.4f}", flush=True)
    save_file(heads["uplift"].state_dict(), arguments.output / "heads.safetensors")
    save_file(heads.state_dict(), arguments.output / "probes.safetensors")
    report = {
        "images": arguments.images,
        "pixels": arguments.pixels,
        "balance": arguments.balance,
        "loss": losses,
    }
    (arguments.output / "heads.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _prepare(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the model's YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="images/, labels/, depth/")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="where the weights are kept"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="default: torch's choice")


def _add_training(parser: argparse.ArgumentParser, steps: int, batch: int, lr: float) -> None:
    add_common(parser)
    parser.add_argument("--steps", type=int, default=steps, help=f"at most this many (default {steps})")
    parser.add_argument("--minutes", type=float, help="at most this long; the schedule adapts")
    parser.add_argument(
        "--batch", type=int, default=batch, help=f"images of the input size (default {batch})"
    )
    parser.add_argument("--lr", type=float, default=lr, help=f"default {lr}")
    parser.add_argument(
        "--balance",
        type=float,
        default=0.5,
        help="0 weighs every pixel alike, 1 every class (default 0.5)",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --output")
    parser.add_argument("--save-minutes", type=float, default=3.0, help="between checkpoints (default 3)")


def register(subparsers: Any) -> None:
    backbone = subparsers.add_parser(
        "train-backbone",
        help="train the backbone on labelled frames",
        description="Trains the backbone so that the classes and the distance in every patch can be read off "
        "its features linearly, on windows of several scales with interpolated positions.",
    )
    _add_training(backbone, steps=20000, batch=8, lr=1e-3)
    backbone.set_defaults(run=train_backbone)
    upsampler = subparsers.add_parser(
        "train-upsampler",
        help="train UPLiFT on the frozen backbone's features",
        description="Trains the upsampler without labels: from the features of an image reduced by 2, 4, 8, "
        "it must give those of the larger ones. Logs the squared error per level beside bilinear's.",
    )
    _add_training(upsampler, steps=10000, batch=8, lr=1e-3)
    upsampler.add_argument("--images", type=int, default=2000, help="whose features are kept (default 2000)")
    upsampler.add_argument("--init", type=Path, metavar="FILE", help="weights to start from")
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
    add_common(heads)
    heads.add_argument("--images", type=int, default=1000, help="frames to sample from (default 1000)")
    heads.add_argument("--pixels", type=int, default=500, help="per frame and head (default 500)")
    heads.add_argument("--steps", type=int, default=3000, help="of the fit (default 3000)")
    heads.add_argument("--balance", type=float, default=0.5, help="0 weighs every pixel alike, 1 every class")
    heads.set_defaults(run=train_heads)
