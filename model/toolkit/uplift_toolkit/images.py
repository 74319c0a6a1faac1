"""One frame's image, labels and depth, as their files hold them: upright, and as the numbers they mean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

VOID = 255
# What Pillow reads without further libraries, and the job or its command line, too.
IMAGES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
IMAGES += (".pgm", ".ppm", ".tga")
# Pillow stretches grey of 2 and 4 bits to 8; ids must be what the file says.
GREY_SCALES = {"L;2": 85, "L;4": 17}
# What turns pixels upright that were stored with an EXIF orientation of 2 to 8.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Cityscapes' label ids that have a train id, in the order of the train ids.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def read_image(path: Path) -> Image.Image:
    """An image in 8-bit RGB, upright: what the job sees of this file.

    16 bits are brought to 8 by leaving out the lower ones, as the job's decoder does, and floats count from 0
    (black) to 1 (white). Transparency is dropped. ValueError if the values have another range.
    """
    with Image.open(path) as image:
        return _upright(_rgb(image), image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"floats from {values.min():g} to {values.max():g} (expected: 0 to 1)")
        return Image.fromarray((values * 255 + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"numbers from {values.min()} to {values.max()} (expected: 0 to 65535)")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _upright(pixels: Image.Image, stored: Image.Image) -> Image.Image:
    """The pixels as the EXIF orientation of the file says; what is no orientation turns nothing."""
    turn = UPRIGHT.get(_orientation(stored))
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(image: Image.Image) -> int:
    for name in ("xmp", "XML:com.adobe.xmp"):  # where Pillow looks too, and the job does not
        image.info.pop(name, None)
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # the pixels may be whole where the EXIF block is not
        return 1
    return found if isinstance(found, int) else 1


def read_labels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Class ids u8 [H,W] of an upright image of `size` (width, height); what does not fit a byte is void."""
    with Image.open(path) as image:
        scale = GREY_SCALES.get(image.tile[0].args if image.tile else None, 1)
        ids = np.asarray(_upright(image, image))
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        raise ValueError(f"{image.mode}, shape {list(ids.shape)} (expected: one channel of class ids)")
    _check_size(ids, size)
    return np.where((ids < 0) | (ids > VOID), VOID, ids // scale).astype(np.uint8)


def _check_size(pixels: np.ndarray, size: tuple[int, int]) -> None:
    height, width = pixels.shape
    if (width, height) != size:
        raise ValueError(f"{width}x{height} (expected: {size[0]}x{size[1]}, the size of the upright image)")


def read_depth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Centimetres u16 [h,w] of an upright image of `size` (width, height), in any size of its proportions."""
    if path.suffix.lower() == ".npy":
        metres = np.nan_to_num(np.load(path).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        depth = metres * 100 + 0.5
    else:
        with Image.open(path) as image:
            depth = np.asarray(_upright(image, image))
    if depth.ndim != 2 or depth.dtype.kind not in "uif":
        raise ValueError(f"shape {list(depth.shape)} (expected: one channel of distances)")
    if depth.dtype == np.uint8:
        raise ValueError("8 bit, at most 2.55 m (expected: 16 bit in centimetres, or metres as .npy)")
    height, width = depth.shape
    if abs(width * size[1] - height * size[0]) > max(size):
        raise ValueError(
            f"{width}x{height} (expected: the proportions of the upright image, {size[0]}x{size[1]})"
        )
    return np.clip(depth, 0, 65535).astype(np.uint16)


def sizes_of(images: Sequence[Path], upright: bool) -> set[tuple[int, int]]:
    """The widths and heights of the images that can be opened; the others are named when they are decoded."""
    sizes = set()
    for path in images:
        try:
            with Image.open(path) as image:
                sizes.add(image.size[::-1] if upright and _orientation(image) >= 5 else image.size)
        except Exception:
            continue
    return sizes


def at_centres(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H,W] at the centres of the pixels of another size: ids and distances must not be mixed."""
    y = ((np.arange(height) + 0.5) * pixels.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * pixels.shape[1] / width).astype(int)
    return pixels[y[:, None], x]


def train_ids(labels: np.ndarray) -> np.ndarray:
    """Cityscapes' label ids to its train ids, void where there is none."""
    table = np.full(256, VOID, np.uint8)
    table[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
    return table[labels]
