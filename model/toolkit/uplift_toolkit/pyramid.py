"""What the upsampler learns from: a frozen backbone's features of images at several sizes, kept on disk.

Level 0 is the largest image, every further level half of the one before. The upsampler gets the image and the
features of a level, and must give the features of the levels above it.
"""

import hashlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.data import Frames
from uplift_toolkit.derived import SEAL, Facts, code_of, difference, keep, made_from
from uplift_toolkit.graph import Normalise
from uplift_toolkit.model import DenseModel
from uplift_toolkit.progress import progress
from uplift_toolkit.uplift import resize


@dataclass(frozen=True)
class Recipe:
    """Which images and features are kept.

    `size` is the model's input, height and width; with `larger` level 0 is twice that and `size` level 1.
    `levels` is the number of reductions. With `shifted` every level but the last is also looked at through a
    grid of patches that is moved by a part of a patch, a random one for every image, so that the centres of
    patches are those of pixels on the next level.
    """

    size: tuple[int, int]
    patch: int
    levels: int
    larger: bool
    shifted: bool
    images: int
    seed: int

    @property
    def base(self) -> int:
        """The level of the model's input."""
        return int(self.larger)


class Pyramids:
    """`images` u8 [K,H,W,3] and `labels` u8 [K,H,W] of the input's size, `plain[k]` and `shifted[k]` fp16
    [K,C,h,w] by level, and `shifts` [K,2]: by how many pixels (y, x) of its level the grid is moved."""

    def __init__(self, directory: Path, recipe: Recipe, normalise: Normalise) -> None:
        self.recipe, self.normalise = recipe, normalise
        self.images, self.labels, self.shifts = (
            np.load(directory / f"{name}.npy", mmap_mode="r") for name in ("images", "labels", "shifts")
        )
        self.plain = [np.load(directory / f"plain-{k}.npy", mmap_mode="r") for k in range(recipe.levels + 1)]
        self.shifted = [
            np.load(directory / f"shifted-{k}.npy", mmap_mode="r")
            for k in range(recipe.levels if recipe.shifted else 0)
        ]

    def __len__(self) -> int:
        return len(self.images)


def feature_pyramids(
    model: DenseModel, frames: Frames, recipe: Recipe, cache: Path, device: torch.device
) -> Pyramids:
    """Runs the frozen backbone over `recipe.images` windows, or takes what an earlier run left in `cache`.

    What is kept there is told apart by the backbone's weights, the data, the recipe and the code.
    """
    normalise = Normalise(torch.float32, model.config).to(device)
    weights = hashlib.sha256()
    for name, value in sorted(model.backbone.state_dict().items()):
        weights.update(name.encode() + value.cpu().numpy().tobytes())
    facts = {
        "backbone": [weights.hexdigest()[:16], repr(model.config.backbone), repr(model.config.normalise)],
        "data": frames.key(),
        "options": {**asdict(recipe), "size": list(recipe.size)},
        "code": code_of("data", "images", "pyramid", "graph", "vit", "timm_backbone", "uplift"),
    }
    directory = cache / f"features-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"
    if not (directory / SEAL).is_file():
        _say_what_differs(cache, directory, facts)

    def make(folder: Path) -> Facts:
        _write(model.backbone.eval(), normalise, frames, recipe, folder, device)
        return {}

    keep(directory, facts, make)
    return Pyramids(directory, recipe, normalise)


def _say_what_differs(cache: Path, directory: Path, facts: Facts) -> None:
    """Why the features of the last run are not used; they stay where they are."""
    last = max(cache.glob(f"features-*/{SEAL}"), key=lambda seal: seal.stat().st_mtime, default=None)
    other = None if last is None else made_from(last.parent)
    if other is not None:
        why = difference(other, facts)
        print(f"{directory}: made anew, not as {last.parent.name}: {why}", file=sys.stderr)


@torch.no_grad()
def _write(
    backbone: nn.Module,
    normalise: Normalise,
    frames: Frames,
    recipe: Recipe,
    directory: Path,
    device: torch.device,
) -> None:
    rng = np.random.default_rng(recipe.seed)
    chosen = rng.permutation(len(frames))[: recipe.images].tolist()
    height, width = recipe.size
    top = (height << recipe.base, width << recipe.base)
    arrays: dict[str, np.memmap] = {}

    def put(name: str, index: int, values: Tensor) -> None:
        data = values.cpu().numpy()
        if name not in arrays:
            shape = (len(chosen), *data.shape[1:])
            arrays[name] = np.lib.format.open_memmap(directory / f"{name}.npy", "w+", data.dtype, shape)
        arrays[name][index : index + len(data)] = data

    for i in progress(range(0, len(chosen), 2), desc="features", unit="pair"):
        picks = [(j, frames.random_window(top, 0.6, rng)) for j in chosen[i : i + 2]]
        batch = frames.batch(picks, recipe.size)
        put("images", i, batch.images)
        put("labels", i, batch.labels)
        half = recipe.patch // 2  # half + shift is odd: the centre of a pixel
        shifts = torch.from_numpy(rng.integers(half, size=(len(picks), 2)) * 2 + 1 - half % 2)
        put("shifts", i, shifts)
        whole = normalise(batch.images.to(device))
        for k in range(recipe.levels + 1):
            if k < recipe.base:
                image = normalise(frames.batch(picks, top).images.to(device))
            else:
                image = resize(whole, (height >> (k - recipe.base), width >> (k - recipe.base)))
            put(f"plain-{k}", i, backbone(image).half())
            if recipe.shifted and k < recipe.levels:
                moved = [move(x, *shift) for x, shift in zip(image, shifts.tolist(), strict=True)]
                put(f"shifted-{k}", i, backbone(torch.stack(moved)).half())
    for array in arrays.values():
        array.flush()


def move(image: Tensor, dy: int, dx: int) -> Tensor:
    """An image [3,H,W] without its first dy rows and dx columns; its edges are repeated to keep the size."""
    return F.pad(image[None, :, dy:, dx:], (0, dx, 0, dy), mode="replicate")[0]


def centres(cells: tuple[int, int], shifts: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where the centres of a grid of `cells` lie that is moved by `shifts` [N,2] cells (y, x): pixels y, x
    [N,cells] of a map of `size` over the same image, row by row.

    The last row and column are left out: they lie half beyond the image.
    """
    y, x = (
        ((torch.arange(n - 1, device=shifts.device) + 0.5 + shifts[:, axis, None]) * pixels / n)
        .floor()
        .long()
        for axis, (n, pixels) in enumerate(zip(cells, size, strict=True))
    )
    y, x = torch.broadcast_tensors(y[:, :, None], x[:, None, :])
    return y.flatten(1), x.flatten(1)
