"""Frames of a data set: decoded once into flat arrays, then cut into windows of any scale.

Three layouts are read, told apart by their folders:

- plain: `images/*.jpg|png`, and where there are any `labels/*.png` (class ids) and `depth/*.png` (16 bit,
  centimetres, 0 = none) or `depth/*.npy` (metres), one file name per frame;
- CamVid: the plain layout in `train/` and `val/`;
- Cityscapes: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and
  `gtFine/SPLIT/CITY/*_gtFine_labelTrainIds.png` or `…_labelIds.png`.

A label that is not the id of a class is void.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

VOID = 255
# Depth is kept at every second pixel: it varies slowly and would otherwise be a third of the memory.
DEPTH_STRIDE = 2
IMAGES = (".jpg", ".jpeg", ".png")
# Cityscapes' label ids that have a train id, in the order of the train ids.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


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
    """`images` u8 [N,H,W,3], `labels` u8 [N,H,W], void where there are none, and `depth` in metres [N,H,W],
    0 where there is none."""

    images: Tensor
    labels: Tensor
    depth: Tensor


@dataclass(frozen=True)
class Source:
    """The files of one frame."""

    name: str
    image: Path
    labels: Path | None
    depth: Path | None


def sources(directory: Path, split: str) -> list[Source]:
    """The frames of a data set in the order of their names; ValueError if there are none."""
    if (directory / "leftImg8bit").is_dir():
        found = [
            Source(image.name.removesuffix("_leftImg8bit.png"), image, _cityscapes_labels(image), None)
            for image in sorted((directory / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
        ]
    else:
        folder = directory if (directory / "images").is_dir() else directory / split
        images = folder / "images" if (folder / "images").is_dir() else directory
        files = sorted(images.iterdir()) if images.is_dir() else []
        found = [
            Source(
                image.stem,
                image,
                _existing(folder / "labels" / f"{image.stem}.png"),
                _existing(folder / "depth" / f"{image.stem}.png", folder / "depth" / f"{image.stem}.npy"),
            )
            for image in files
            if image.suffix.lower() in IMAGES
        ]
    if not found:
        raise ValueError(
            f"{directory}: no frames (expected: *.jpg or *.png in it, in images/ or in {split}/images/; or "
            f"leftImg8bit/{split}/)"
        )
    for kind in ("labels", "depth"):
        missing = [source.name for source in found if getattr(source, kind) is None]
        if missing and len(missing) < len(found):
            raise ValueError(
                f"{directory}: {len(missing)} frames without {kind}, as {missing[0]} (expected: all or none)"
            )
    return found


def _existing(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _cityscapes_labels(image: Path) -> Path | None:
    folder = image.parents[3] / "gtFine" / image.parents[1].name / image.parent.name
    stem = image.name.removesuffix("_leftImg8bit.png")
    return _existing(folder / f"{stem}_gtFine_labelTrainIds.png", folder / f"{stem}_gtFine_labelIds.png")


class Frames:
    """The frames of a data set in arrays. The first use decodes them into `arrays/`, later ones map that.

    Frames of one size that is at most `size` (height, width) are kept as they are, others are brought to it.
    `classes` is the number of label ids that are not void.
    """

    def __init__(self, directory: Path, size: tuple[int, int], classes: int, split: str = "train") -> None:
        found = sources(directory, split)
        self.directory, self.classes = directory, classes
        self.names = [source.name for source in found]
        cache = _cache_folder(directory, split)
        wanted = _working_size(found, size)
        if not _is_current(cache, found, wanted):
            _decode(found, wanted, cache)
        self.images = np.load(cache / "images.npy", mmap_mode="r")
        self.labels = np.load(cache / "labels.npy", mmap_mode="r") if found[0].labels else None
        self.depth = np.load(cache / "depth.npy", mmap_mode="r") if found[0].depth else None
        self.height, self.width = self.images.shape[1:3]

    def __len__(self) -> int:
        return len(self.images)

    def require(self, *kinds: str) -> None:
        """ValueError unless the data set has all of `labels`, `depth`."""
        for kind in kinds:
            if getattr(self, kind) is None:
                raise ValueError(f"{self.directory}: no {kind}/ (expected: one file for every image)")

    def key(self) -> str:
        """Tells these frames from other ones: a hash of their names, sizes and some of their pixels."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(str(self.images.shape).encode())
        for i in np.linspace(0, len(self) - 1, 16).astype(int):
            digest.update(self.images[i].tobytes())
        return digest.hexdigest()

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
        labels = np.full(size, VOID, np.uint8)
        if self.labels is not None:
            labels = self.labels[index][y[:, None], x]
            labels[labels >= self.classes] = VOID
        depth = np.zeros(size, np.float32)
        if self.depth is not None:
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

    def class_shares(self) -> np.ndarray:
        """The share of every class among the labelled pixels [classes], from a sample of them."""
        if self.labels is None:
            return np.zeros(self.classes)
        step = max(1, len(self) // 500)
        labels = self.labels[::step, 2::4, 2::4]
        counts = np.bincount(labels[labels < self.classes], minlength=self.classes)
        return counts / max(1, counts.sum())


def class_weights(shares: np.ndarray, balance: float) -> Tensor:
    """(median share / share) ** balance [classes], at most 10: 0 counts every pixel alike, 1 every class."""
    present = shares > 0
    if not present.any():
        return torch.zeros(len(shares))
    ratio = np.where(present, np.median(shares[present]) / np.maximum(shares, 1e-12), 0.0)
    return torch.from_numpy(np.minimum(ratio**balance, 10.0)).float()


def pixel_weights(weights: Tensor, labels: Tensor) -> Tensor:
    """The class's weight at every label u8 […]; void has none."""
    return torch.cat([weights, torch.zeros(256 - len(weights))])[labels.long()]


def _cache_folder(directory: Path, split: str) -> Path:
    if (directory / "images").is_dir():
        return directory / "arrays"
    return directory / split / "arrays" if (directory / split).is_dir() else directory / f"arrays-{split}"


def _working_size(found: list[Source], size: tuple[int, int]) -> tuple[int, int]:
    widths = set()
    for source in found:
        with Image.open(source.image) as image:
            widths.add(image.size)
    width, height = min(widths)
    return (height, width) if len(widths) == 1 and height <= size[0] and width <= size[1] else size


def _is_current(cache: Path, found: list[Source], size: tuple[int, int]) -> bool:
    kinds = ["names.txt", "images.npy"]
    kinds += [f"{kind}.npy" for kind in ("labels", "depth") if getattr(found[0], kind) is not None]
    if not all((cache / kind).is_file() for kind in kinds):
        return False
    names = [source.name for source in found]
    shape = np.load(cache / "images.npy", mmap_mode="r").shape
    return (cache / "names.txt").read_text().split("\n") == names and shape[1:3] == size


def _decode(found: list[Source], size: tuple[int, int], cache: Path) -> None:
    """Writes the arrays beside the old ones, if any, and then in their place: who maps those keeps them."""
    height, width = size
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "names.txt").unlink(missing_ok=True)
    shapes: dict[str, tuple[type, tuple[int, ...]]] = {"images": (np.uint8, (len(found), height, width, 3))}
    if found[0].labels is not None:
        shapes["labels"] = (np.uint8, (len(found), height, width))
    if found[0].depth is not None:
        small = (len(found), height // DEPTH_STRIDE, width // DEPTH_STRIDE)
        shapes["depth"] = (np.uint16, small)
    out = {
        name: np.lib.format.open_memmap(cache / f"{name}.npy.new", "w+", dtype, shape)
        for name, (dtype, shape) in shapes.items()
    }
    for i, source in enumerate(tqdm(found, "decode", disable=None)):
        with Image.open(source.image) as image:
            out["images"][i] = np.asarray(
                image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            )
        if source.labels is not None:
            with Image.open(source.labels) as image:
                labels = _at_centres(np.asarray(image), height, width)
            out["labels"][i] = train_ids(labels) if source.labels.stem.endswith("_labelIds") else labels
        if source.depth is not None:
            centimetres = _centimetres(source.depth)
            out["depth"][i] = _at_centres(centimetres, height // DEPTH_STRIDE, width // DEPTH_STRIDE)
    for name, array in out.items():
        array.flush()
        (cache / f"{name}.npy.new").replace(cache / f"{name}.npy")
    (cache / "names.txt").write_text("\n".join(source.name for source in found))


def _at_centres(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H,W] at the centres of the pixels of another size: ids and distances must not be mixed."""
    if pixels.ndim != 2:
        raise ValueError(f"labels or depth: shape {list(pixels.shape)} (expected: one channel, [H,W])")
    y = ((np.arange(height) + 0.5) * pixels.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * pixels.shape[1] / width).astype(int)
    return pixels[y[:, None], x]


def _centimetres(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        metres = np.nan_to_num(np.load(path).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(metres * 100 + 0.5, 0, 65535).astype(np.uint16)
    with Image.open(path) as image:
        return np.asarray(image).astype(np.uint16)


def train_ids(labels: np.ndarray) -> np.ndarray:
    """Cityscapes' label ids to its train ids, void where there is none."""
    table = np.full(256, VOID, np.uint8)
    table[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
    return table[labels]
