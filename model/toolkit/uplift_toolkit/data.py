"""Labelled frames: decoded once into flat arrays, then cut into windows of any scale.

A data set is a directory of `images/*.jpg`, `labels/*.png` (train ids, 255 = void) and `depth/*.png` (16 bit,
centimetres, 0 = none), one file name per frame, all frames of one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

VOID = 255
# Depth is kept at every second pixel: it varies slowly and would otherwise be a third of the memory.
DEPTH_STRIDE = 2
ARRAYS = {"images": np.uint8, "labels": np.uint8, "depth": np.uint16}


@dataclass(frozen=True)
class Window:
    """A rectangle of a frame in its pixels, mirrored if `flip`."""

    left: float
    top: float
    width: float
    height: float
    flip: bool = False


@dataclass(frozen=True)
class Batch:
    """`images` u8 [N,H,W,3], `labels` u8 [N,H,W] and `depth` in metres [N,H,W], 0 where there is none."""

    images: Tensor
    labels: Tensor
    depth: Tensor


class Frames:
    """The frames of a data set. The first use decodes them into `arrays/`, later ones map that file."""

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        names = sorted(path.stem for path in (directory / "images").glob("*.jpg"))[:limit]
        if not names:
            raise ValueError(f"{directory}: no images/*.jpg (expected: a data set, see uplift_toolkit.data)")
        arrays = directory / "arrays"
        listing = arrays / "names.txt"
        if not listing.exists() or listing.read_text().split("\n") != names:
            _decode(directory, names, arrays)
        self.images, self.labels, self.depth = (np.load(arrays / f"{a}.npy", mmap_mode="r") for a in ARRAYS)
        self.height, self.width = self.images.shape[1:3]

    def __len__(self) -> int:
        return len(self.images)

    def whole(self) -> Window:
        return Window(0, 0, self.width, self.height)

    def batch(self, picks: list[tuple[int, Window]], size: tuple[int, int]) -> Batch:
        """Cuts one window per frame and brings it to `size` (height, width).

        Images are resized bilinearly with antialias, as at inference; labels and depth are the frame's at the
        centres of the output pixels.
        """
        cuts = [self._cut(index, window, size) for index, window in picks]
        images, labels, depth = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*cuts, strict=True))
        return Batch(images, labels, depth)

    def _cut(
        self, index: int, window: Window, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, width = size
        box = (window.left, window.top, window.left + window.width, window.top + window.height)
        image = Image.fromarray(self.images[index]).resize((width, height), Image.Resampling.BILINEAR, box)
        y = np.floor(window.top + (np.arange(height) + 0.5) * window.height / height).astype(int)
        x = np.floor(window.left + (np.arange(width) + 0.5) * window.width / width).astype(int)
        labels = self.labels[index][y[:, None], x]
        depth = self.depth[index][y[:, None] // DEPTH_STRIDE, x // DEPTH_STRIDE].astype(np.float32) / 100
        cut = np.asarray(image), labels, depth
        return tuple(np.ascontiguousarray(a[:, ::-1]) for a in cut) if window.flip else cut

    def random_window(self, size: tuple[int, int], whole: float, rng: np.random.Generator) -> Window:
        """With probability `whole` the frame, else a part of it: up to 4 times closer, slightly stretched."""
        flip = bool(rng.random() < 0.5)
        if rng.random() < whole:
            return Window(0, 0, self.width, self.height, flip)
        # Never closer than the frame's own resolution, beyond which a window shows nothing but blur.
        closest = min(1.0, max(0.25, size[1] / self.width))
        scale = closest ** rng.random()
        stretch = 1.1 ** rng.uniform(-1, 1)
        width, height = (min(1.0, scale * s) for s in (stretch, 1 / stretch))
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        return Window(left * self.width, top * self.height, width * self.width, height * self.height, flip)

    def whole_batches(self, size: tuple[int, int], batch: int, limit: int | None = None) -> Iterator[Batch]:
        """Every frame once, in order, uncut; `limit` takes that many, evenly spread."""
        indices = range(len(self))
        if limit is not None and limit < len(self):
            indices = np.linspace(0, len(self) - 1, limit).astype(int).tolist()
        for i in range(0, len(indices), batch):
            yield self.batch([(j, self.whole()) for j in indices[i : i + batch]], size)

    def class_shares(self, classes: int) -> np.ndarray:
        """The share of every class among the labelled pixels [classes], from a sample of them."""
        step = max(1, len(self) // 500)
        labels = self.labels[::step, 2::4, 2::4]
        counts = np.bincount(labels[labels != VOID], minlength=classes)[:classes]
        return counts / max(1, counts.sum())


def class_weights(shares: np.ndarray, balance: float) -> Tensor:
    """(median share / share) ** balance [classes], at most 10: 0 counts every pixel alike, 1 every class."""
    present = shares > 0
    ratio = np.where(present, np.median(shares[present]) / np.maximum(shares, 1e-12), 0.0)
    return torch.from_numpy(np.minimum(ratio**balance, 10.0)).float()


def _decode(directory: Path, names: list[str], arrays: Path) -> None:
    arrays.mkdir(exist_ok=True)
    (arrays / "names.txt").unlink(missing_ok=True)
    width, height = Image.open(directory / "images" / f"{names[0]}.jpg").size
    shapes = {
        "images": (len(names), height, width, 3),
        "labels": (len(names), height, width),
        "depth": (len(names), height // DEPTH_STRIDE, width // DEPTH_STRIDE),
    }
    out = {
        a: np.lib.format.open_memmap(arrays / f"{a}.npy", "w+", dtype, shapes[a])
        for a, dtype in ARRAYS.items()
    }
    for i, name in enumerate(names):
        with Image.open(directory / "images" / f"{name}.jpg") as image:
            if image.size != (width, height):
                raise ValueError(f"{image.filename}: size {image.size} (expected: {(width, height)})")
            out["images"][i] = np.asarray(image.convert("RGB"))
        with Image.open(directory / "labels" / f"{name}.png") as image:
            out["labels"][i] = np.asarray(image)
        with Image.open(directory / "depth" / f"{name}.png") as image:
            odd = slice(DEPTH_STRIDE // 2, None, DEPTH_STRIDE)
            out["depth"][i] = np.asarray(image)[odd, odd]
    for array in out.values():
        array.flush()
    (arrays / "names.txt").write_text("\n".join(names))
