"""Training of the upsampler without labels: from a reduced image's features it must give the larger ones'."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit import probe
from uplift_toolkit.data import class_weights, pixel_weights
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.images import VOID
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import attend_at, bilinear_at, gather, step_inputs
from uplift_toolkit.pyramid import Pyramids, Recipe, centres, feature_pyramids
from uplift_toolkit.training import Training, mixed_precision, open_frames, prepare
from uplift_toolkit.uplift import LocalAttender, Uplift, auto_residual, resize
from uplift_toolkit.upsamplers import PLAIN, Upsampler
from uplift_toolkit.weights import beneath, load_strict, read_state_dict

SETTLED = 0.6  # share of the steps after which batch norms keep their statistics


def train_upsampler(arguments: argparse.Namespace) -> int:
    """The paper's recipe (UPLiFT, arXiv 2601.17950): reduced images must give the larger ones' features."""
    if not 0 <= arguments.whole <= 1:
        raise ValueError(f"--whole: {arguments.whole} (expected: 0 to 1)")
    if arguments.whole > 0 and not (arguments.larger or arguments.task_loss > 0):
        raise ValueError("--whole: no example at the input's size (expected: with --larger or --task-loss)")
    config = ModelConfig.load(arguments.config)
    if arguments.kind is not None:
        config = config.of_kind(arguments.kind)
    device = prepare(arguments)
    size = config.input.size
    frames = open_frames(arguments, config)
    model = DenseModel.load(config, arguments.output, parts=("backbone",)).to(device)
    upsampler = model.upsampler
    if isinstance(upsampler, Uplift):
        upsampler.attender = CellAttender(upsampler.decoder.width, config.uplift["uplift"]["attender"])
    elif config.kind in PLAIN:
        raise ValueError(f"upsampler.kind: {config.kind} (expected: one that learns)")
    upsampler.to(device, memory_format=torch.channels_last)  # twice as fast on a CPU
    if arguments.init:
        start_from(upsampler, arguments.init)
    steps = config.steps if isinstance(upsampler, Uplift) else round(math.log2(config.backbone.patch))
    levels = arguments.levels or steps
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
    if isinstance(upsampler, Upsampler):  # or the smallest image ends the run at some step
        smallest = (size[0] >> (levels - recipe.base), size[1] >> (levels - recipe.base))
        upsampler.size_for(smallest, smallest, tuple(side // config.backbone.patch for side in smallest))
    part = config.upsampler_file
    modules: dict[str, nn.Module] = {part: upsampler}
    if arguments.task_loss > 0:
        frames.require("labels")
        task = LinearHead(config.backbone.dim, HeadConfig("task", "segmentation", len(config.labels))).to(
            device
        )
        modules["task"] = task
    training = Training(part, modules, 0.0, arguments)
    pyramids = feature_pyramids(model, frames, recipe, arguments.cache or arguments.output, device)
    weights = class_weights(frames.class_shares(), arguments.balance).to(device)
    if arguments.task_loss > 0 and not arguments.resume:
        fit_to_patches(task, pyramids, weights.cpu(), arguments.seed)
    precision = mixed_precision(arguments.precision, device)
    upsampler.train()
    settled = round(SETTLED * arguments.steps)
    if training.step > settled:  # resumed
        batch_norms(upsampler).eval()
    for step in training:
        if step == settled:
            settle_norms(upsampler, pyramids, steps, device)
        chosen = np.sort(
            training.rng.choice(len(pyramids), min(arguments.batch, len(pyramids)), replace=False)
        )
        losses: dict[str, Tensor] = {}
        numbers: dict[str, float] = {}
        with precision:
            # The paper sums over the levels; one at a time is the same in the mean, and steps are cheaper.
            level = int(training.rng.integers(1, levels + 1))
            example = Example.of(pyramids, chosen, level, training.rng, device, arguments.whole)
            name, error = LOSSES[arguments.loss]
            found = example.errors(upsampler, steps, error)
            losses[f"{name}/{level}"], numbers[f"bilinear/{level}"] = found
            if arguments.task_loss > 0:
                labelled = _labelled(pyramids, chosen, training.rng, device, arguments.whole)
                loss = task_loss(upsampler, task, steps, weights, *labelled)
                losses["task"] = arguments.task_loss * loss
        training.update(losses, len(chosen), **numbers)
    if training.step <= settled:  # ended by --minutes
        settle_norms(upsampler, pyramids, steps, device)
    training.save()
    return 0


def start_from(upsampler: Uplift | Upsampler, path: Path) -> None:
    """Loads weights; an attender over other neighbours than the file's starts anew."""
    if not isinstance(upsampler, Uplift):
        return load_strict(upsampler, read_state_dict(path), path, upsampler.ignored)
    own = upsampler.state_dict()
    state = dict(beneath(read_state_dict(path), [own], path)[0])
    names = [name for name in own if name.startswith("attender.")]
    if any(name not in state or state[name].shape != own[name].shape for name in names):
        print(f"{path}: no attender over {len(upsampler.attender.offsets)} neighbours, it starts anew")
        state |= {name: own[name] for name in names}
    load_strict(upsampler, state, path)


def cosine_error(found: Tensor, wanted: Tensor) -> Tensor:
    """The main term of JAFAR's loss (arXiv 2506.11136) and AnyUp's, of channels along axis 1: one less the
    cosine, and the squared error of what is scaled so that the wanted channels of a place are 0 to 1."""
    cosine = F.cosine_similarity(found, wanted).mean()
    low, high = wanted.amin(1, keepdim=True), wanted.amax(1, keepdim=True)
    scaled = [(x - low) / (high - low + 1e-6) for x in (found, wanted)]
    return 1 - cosine + F.mse_loss(*scaled)


LOSSES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "l2": ("L2", F.mse_loss),
    "cosine": ("cosine", cosine_error),
}
"""By the option's value: the name in the log, and the error of maps [N,C,…]."""


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
        pyramids: Pyramids,
        chosen: np.ndarray,
        level: int,
        rng: np.random.Generator,
        device: torch.device,
        whole: float,
    ) -> Example:
        """An example of the chosen images; those of the model's input size are cut to a random quarter, but
        for a share of `whole`."""
        recipe = pyramids.recipe
        grid = pyramids.plain[level].shape[2:]
        top, left, h, w = part_of(grid, whole if level == recipe.base else 1.0, rng)

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

    def errors(
        self, upsampler: Uplift | Upsampler, steps: int, error: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, float]:
        """The sum of the errors, each a mean, of the upsampler and of bilinear upsampling."""
        if isinstance(upsampler, Upsampler):
            maps, moved = self._others(upsampler)
        else:
            maps, moved = self._uplifts(upsampler, steps)
        pairs = [(value.float(), t) for value, t in zip(maps, self.plain, strict=False)]
        plain = [(F.interpolate(self.features, t.shape[2:], mode="bilinear"), t) for _, t in pairs]
        if self.moved is not None and moved is not None:
            target = self.moved[0][:, :, :-1, :-1].flatten(2)
            pairs.append((moved.transpose(1, 2).float(), target))
            y, x = self._places(self.images.shape[2:])
            factor = self.images.shape[2] // self.features.shape[2]
            plain.append((bilinear_at(self.features, factor, y, x).transpose(1, 2), target))
        loss = torch.stack([error(a, b) for a, b in pairs]).sum()
        return loss, sum(float(error(a, b)) for a, b in plain)

    def _places(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Where the moved cells' centres lie in a map of `size` over the image: pixels y, x [N,cells]."""
        target, shifts = self.moved
        return centres(target.shape[2:], shifts, size)

    def _uplifts(self, upsampler: Uplift, steps: int) -> tuple[list[Tensor], Tensor | None]:
        """The maps after the steps, and the last one's values at the moved cells [N,cells,C]."""
        needed = steps if self.moved is not None else min(steps, len(self.plain))
        inputs = step_inputs(upsampler, self.images, self.features, needed)
        maps = [value for _, value in inputs[1:]]
        if needed <= len(self.plain):
            maps.append(upsampler.attender(*inputs[-1]))
        if self.moved is None:
            return maps, None
        guide, value = inputs[-1]
        return maps, attend_at(upsampler.attender, guide, value, *self._places(guide.shape[2:]))

    def _others(self, upsampler: Upsampler) -> tuple[list[Tensor], Tensor | None]:
        """The same of another kind, which is asked for the sizes of the targets and of the image."""
        sizes = [t.shape[2:] for t in self.plain]
        if self.moved is None:
            return upsampler.maps(self.images, self.features, sizes), None
        *maps, whole = upsampler.maps(self.images, self.features, [*sizes, self.images.shape[2:]])
        return maps, gather(whole, *self._places(self.images.shape[2:]))


@torch.no_grad()
def settle_norms(upsampler: Uplift | Upsampler, pyramids: Pyramids, steps: int, device: torch.device) -> None:
    """Takes the batch norms' statistics anew, from whole images of the size that inference has, and holds
    them. One that is used at several steps has other statistics at each; what is learned after this is
    learned with those that inference uses."""
    norms = batch_norms(upsampler)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for i in range(0, min(32, len(pyramids)) if norms else 0, 4):
        images = pyramids.normalise(torch.from_numpy(pyramids.images[i : i + 4].copy()).to(device))
        features = torch.from_numpy(pyramids.plain[pyramids.recipe.base][i : i + 4].astype(np.float32))
        if isinstance(upsampler, Uplift):
            step_inputs(upsampler, images, features.to(device), steps)
        else:
            upsampler.maps(images, features.to(device), [images.shape[2:]])
    norms.eval()


def batch_norms(upsampler: nn.Module) -> nn.ModuleList:
    return nn.ModuleList(module for module in upsampler.modules() if isinstance(module, nn.BatchNorm2d))


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


def part_of(grid: Sequence[int], whole: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """First row and column, height and width of a random quarter of a grid, or of all of it with the chance
    `whole`."""
    if whole >= 1 or (whole > 0 and rng.random() < whole):
        return 0, 0, grid[0], grid[1]
    h, w = grid[0] // 2, grid[1] // 2
    return int(rng.integers(grid[0] - h + 1)), int(rng.integers(grid[1] - w + 1)), h, w


def _labelled(
    pyramids: Pyramids, chosen: np.ndarray, rng: np.random.Generator, device: torch.device, whole: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same part of images, features and labels."""
    patch, features = pyramids.recipe.patch, pyramids.plain[pyramids.recipe.base]
    top, left, h, w = part_of(features.shape[2:], whole, rng)
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
    chance = pixel_weights(weights, labels)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(chance, min(100_000, len(labels)), True, generator=generator)
    probe.fit(head, features[chosen], labels[chosen], 500, seed)


def task_loss(
    upsampler: Uplift | Upsampler,
    head: LinearHead,
    steps: int,
    weights: Tensor,
    images: Tensor,
    features: Tensor,
    labels: Tensor,
) -> Tensor:
    """Cross entropy of a linear segmentation head at every pixel, rare classes weighted."""
    size = images.shape[2:]
    if isinstance(upsampler, Upsampler):
        grid = features.shape[2:]
        guide, weight, bias = (
            upsampler.guide(images, features),
            head.linear.weight.flatten(1),
            head.linear.bias,
        )
        logits = upsampler.read(guide, features, upsampler.size_for(size, size, grid), weight, bias)
    else:
        guide, value = step_inputs(upsampler, images, features, steps)[-1]
        logits = upsampler.attender(guide, head(value))
    return F.cross_entropy(resize(logits, size), labels.long(), weight=weights, ignore_index=VOID)
