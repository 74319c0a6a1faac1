"""Frames of a data set: decoded once into flat arrays, then cut into windows of any scale.

Three layouts are read, told apart by their folders:

- plain: `images/*` (JPEG, PNG and the others of `IMAGES`), and where there are any `labels/*.png` (class ids)
  and `depth/*.png` (16 bit, centimetres, 0 = none) or `depth/*.npy` (metres), one file name per frame;
- CamVid: the plain layout in `train/` and `val/`, which go before one beside them;
- Cityscapes: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and
  `gtFine/SPLIT/CITY/*_gtFine_labelTrainIds.png` or `…_labelIds.png`.

Images and labels are turned upright by their EXIF orientation, as the job does. A label that is not the id of
a class is void.
"""

import hashlib
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from uplift_toolkit.derived import code_of, file_state, keep, some
from uplift_toolkit.downloads import digest
from uplift_toolkit.images import (
    IMAGES,
    VOID,
    at_centres,
    read_depth,
    read_image,
    read_labels,
    sizes_of,
    train_ids,
)
from uplift_toolkit.progress import progress

# Depth is kept at every second pixel: it varies slowly and would otherwise be a third of the memory.
DEPTH_STRIDE = 2


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
    """The frames of a data set in the order of their names; ValueError if there are none.

    Files that are no images by their names are counted and named on standard error, and so are labels and
    depth that belong to no image.
    """
    if (directory / "leftImg8bit").is_dir():
        found = [
            Source(image.name.removesuffix("_leftImg8bit.png"), image, _cityscapes_labels(image), None)
            for image in sorted((directory / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
            if not image.name.startswith(".")
        ]
    else:
        folder = _plain_folder(directory, split)
        images = folder / "images" if (folder / "images").is_dir() else directory
        kinds = {"labels": (".png",), "depth": (".png", ".npy")} if images != directory else {}
        truth = {kind: _by_stem(folder / kind, suffixes) for kind, suffixes in kinds.items()}
        found = [
            Source(
                _name(image), image, *(truth.get(kind, {}).get(_name(image)) for kind in ("labels", "depth"))
            )
            for image in _files(images, IMAGES)
        ]
        names = {source.name for source in found}
        for kind, files in truth.items():
            strangers = [path.name for stem, path in files.items() if stem not in names]
            if strangers:
                _say_left_out(folder / kind, strangers, "of no image")
    if not found:
        expected = ", ".join(f"*{suffix}" for suffix in IMAGES)
        raise ValueError(
            f"{directory}: no frames (expected: {expected} in it, in images/ or in {split}/images/; or "
            f"leftImg8bit/{split}/)"
        )
    return found


def _plain_folder(directory: Path, split: str) -> Path:
    """Where `images/` lies: the split's folder, unless only the directory itself has one."""
    has_images = [(folder / "images").is_dir() for folder in (directory / split, directory)]
    return directory if has_images == [False, True] else directory / split


def _with_truth(directory: Path, found: list[Source], skip_bad: bool) -> list[Source]:
    """The frames that have labels and depth of their own, each for all frames or for none.

    ValueError names the others, unless `skip_bad` leaves them out.
    """
    bad: dict[str, str] = {}
    named = Counter(source.name for source in found if source.labels or source.depth)
    bad |= {
        str(source.image): f"one of {named[source.name]} images of this name"
        for source in found
        if named[source.name] > 1
    }
    for kind in ("labels", "depth"):
        missing = [source for source in found if getattr(source, kind) is None]
        if not missing or len(missing) == len(found):
            continue
        if not skip_bad:
            names = some((source.name for source in missing), 20)
            raise ValueError(
                f"{directory}: {len(missing)} frames without {kind}, as {names} (expected: all or none; "
                "--skip-bad leaves them out)"
            )
        bad |= {str(source.image): f"no {kind}" for source in missing}
    _judge(directory, bad, skip_bad)
    left = [source for source in found if str(source.image) not in bad]
    if not left:
        raise ValueError(f"{directory}: none of {len(found)} frames can be used")
    return left


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a folder with one of these extensions, by name; others are named on standard error."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if not path.is_dir())
    broken = [path.name for path in files if not path.exists()]
    hidden = [path.name for path in files if path.name.startswith(".")]
    whole = [path for path in files if path.exists() and not path.name.startswith(".")]
    others = [path.name for path in whole if path.suffix.lower() not in suffixes]
    for names, why in (
        (hidden, "hidden"),
        (broken, "links to nothing"),
        (others, f"read are {' '.join(suffixes)}"),
    ):
        if names:
            _say_left_out(folder, names, why)
    return [path for path in whole if path.suffix.lower() in suffixes]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder by their names without extension; of several extensions the first one's."""
    files = sorted(_files(folder, suffixes), key=lambda path: -suffixes.index(path.suffix.lower()))
    return {_name(path): path for path in files}


def _name(path: Path) -> str:
    """A file's name without extension, in one spelling of its accents: file systems have two."""
    return unicodedata.normalize("NFC", path.stem)


def _say_left_out(folder: Path, names: list[str], why: str) -> None:
    print(f"{folder}: {len(names)} left out ({why}): {some(names, 5)}", file=sys.stderr)


def _judge(directory: Path, bad: dict[str, str], skip_bad: bool) -> None:
    """Names the files that cannot be used, and why; ValueError unless they are to be left out."""
    if not bad:
        return
    listed = "".join(f"\n  {name}: {why}" for name, why in bad.items())
    if not skip_bad:
        raise ValueError(
            f"{directory}: {len(bad)} files cannot be used (--skip-bad leaves them out):{listed}"
        )
    print(f"{directory}: {len(bad)} files that cannot be used are left out:{listed}", file=sys.stderr)


def _existing(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _cityscapes_labels(image: Path) -> Path | None:
    folder = image.parents[3] / "gtFine" / image.parents[1].name / image.parent.name
    stem = image.name.removesuffix("_leftImg8bit.png")
    return _existing(folder / f"{stem}_gtFine_labelTrainIds.png", folder / f"{stem}_gtFine_labelIds.png")


class Frames:
    """The frames of a data set in arrays. The first use decodes them into `arrays/`, later ones map that, as
    long as no file of the data set has another size or time and the code that decodes is the same.

    Frames of one size that is at most `size` (height, width) are kept as they are, others are brought to it.
    `classes` is the number of label ids that are not void. ValueError names every file that cannot be used,
    unless `skip_bad` leaves them out.
    """

    def __init__(
        self,
        directory: Path,
        size: tuple[int, int],
        classes: int,
        split: str = "train",
        skip_bad: bool = False,
    ) -> None:
        found = _with_truth(directory, sources(directory, split), skip_bad)
        self.directory, self.classes = directory, classes
        cache = _cache_folder(directory, split)
        files = [path for source in found for path in (source.image, source.labels, source.depth) if path]
        made_from = {
            "files": {str(path.relative_to(directory)): file_state(path) for path in files},
            "size": size,
            "code": [code_of("data", "images"), PIL.__version__],
        }
        facts = keep(cache, made_from, lambda folder: _decode(directory, found, size, folder, skip_bad))
        _judge(directory, facts["bad"], skip_bad)
        self.names, self._key = facts["names"], facts["sha256"]
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
        if "labels" in kinds and not self.class_shares().any():
            raise ValueError(
                f"{self.directory}: no label is a class's id (expected: 0 to {self.classes - 1})"
            )

    def key(self) -> str:
        """Tells these frames from other ones: a hash of all their pixels and labels."""
        return hashlib.sha256("".join(self._key).encode()).hexdigest()[:16]

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
    folder = _plain_folder(directory, split)
    return folder / "arrays" if folder.is_dir() else directory / f"arrays-{split}"


def _working_size(found: list[Source], size: tuple[int, int]) -> tuple[int, int]:
    """The arrays' height and width: the upright images' if all have one of at most `size`, else `size`."""
    images = [source.image for source in found]
    stored = sizes_of(images, upright=False)
    # Of a PNG the orientation may lie behind the pixels: it is looked for only where it can matter.
    may_fit = any(a <= max(size) and b <= max(size) for a, b in stored)
    if len({tuple(sorted(pair)) for pair in stored}) != 1 or not may_fit:
        return size
    sizes = sizes_of(images, upright=True)
    width, height = sizes.pop()
    return (height, width) if not sizes and height <= size[0] and width <= size[1] else size


def _decode(
    directory: Path, found: list[Source], size: tuple[int, int], folder: Path, skip_bad: bool
) -> dict[str, Any]:
    """Writes the arrays of the frames; returns their names and hashes, and the files that cannot be used."""
    height, width = _working_size(found, size)
    shapes: dict[str, tuple[type, tuple[int, ...]]] = {"images": (np.uint8, (height, width, 3))}
    if found[0].labels is not None:
        shapes["labels"] = (np.uint8, (height, width))
    if found[0].depth is not None:
        shapes["depth"] = (np.uint16, (-(-height // DEPTH_STRIDE), -(-width // DEPTH_STRIDE)))

    def array(name: str, count: int) -> np.memmap:
        dtype, shape = shapes[name]
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape))

    arrays = {name: array(name, len(found)) for name in shapes}
    names: list[str] = []
    bad: dict[str, str] = {}
    for source in progress(found, desc="decode", unit="frame"):
        path = source.image
        try:
            image = read_image(path)
            arrays["images"][len(names)] = image.resize((width, height), Image.Resampling.BILINEAR)
            if source.labels is not None:
                path = source.labels
                labels = at_centres(read_labels(path, image.size), height, width)
                arrays["labels"][len(names)] = (
                    train_ids(labels) if path.stem.endswith("_labelIds") else labels
                )
            if source.depth is not None:
                path = source.depth
                depth = read_depth(path, image.size)
                arrays["depth"][len(names)] = at_centres(depth, *shapes["depth"][1])
        except Exception as e:  # decoders fail with anything
            bad[str(path)] = str(e).strip().partition("\n")[0].removesuffix(f" '{path}'") or type(e).__name__
            continue
        names.append(source.name)
    if not (skip_bad and names):
        _judge(directory, bad, skip_bad=False)
    for name, whole in arrays.items():
        whole.flush()
        if bad:
            kept = np.array(whole[: len(names)])
            array(name, len(names))[:] = kept
    return {"names": names, "bad": bad, "sha256": [digest(folder / f"{name}.npy") for name in shapes]}
