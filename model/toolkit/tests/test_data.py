"""Training data as cameras, annotators and file systems leave it: what is read, refused and kept."""

import os
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uplift_toolkit import derived
from uplift_toolkit.data import Frames, sources
from uplift_toolkit.images import VOID, read_image
from uplift_toolkit.training import say_no_class

SIZE = (8, 16)  # height, width
T = Image.Transpose
# What a camera does to an upright picture before it stores it with this EXIF orientation.
STORED = {
    1: None,
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}
CONTAINERS = {
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "jfif": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
    "tif": {"format": "TIFF"},
    "avif": {"format": "AVIF", "quality": 100, "subsampling": "4:4:4"},
}


def picture() -> Image.Image:
    """Four quarters of different colours, so that every turn shows."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:4, :8, 0] = pixels[4:, 8:, 2] = pixels[:4, 8:, 1] = 250
    return Image.fromarray(pixels)


def stored(image: Image.Image, path: Path, orientation: int = 1, **options: object) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = STORED[orientation]
    (image if turn is None else image.transpose(turn)).save(path, exif=exif, **options)


def data_set(directory: Path, names: Iterable[str] = "ab", labels: np.ndarray | None = None) -> Path:
    for folder in ("images", "labels"):
        (directory / folder).mkdir(parents=True)
    ids = np.ones(SIZE, np.uint8) if labels is None else labels
    for name in names:
        picture().save(directory / "images" / f"{name}.png")
        Image.fromarray(ids).save(directory / "labels" / f"{name}.png")
    return directory


def labels_of(directory: Path, classes: int = 3) -> list[int]:
    return np.unique(Frames(directory, SIZE, classes).labels).tolist()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_upright(tmp_path: Path, container: str, orientation: int) -> None:
    path = tmp_path / f"a.{container}"
    options = CONTAINERS[container]
    if options["format"] == "AVIF":
        pytest.importorskip("PIL._avif")
    stored(picture(), path, orientation, **options)
    found = np.asarray(read_image(path)).astype(int)
    assert np.abs(found - np.asarray(picture())).max() <= 3


def test_what_is_no_orientation_turns_nothing(tmp_path: Path) -> None:
    for i, exif in enumerate((b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nothing")):
        picture().save(tmp_path / f"{i}.jpg", exif=exif)
        assert read_image(tmp_path / f"{i}.jpg").size == SIZE[::-1]
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    picture().save(tmp_path / "xmp.jpg", xmp=xmp)
    assert read_image(tmp_path / "xmp.jpg").size == SIZE[::-1]


def test_labels_fit_the_upright_image(tmp_path: Path) -> None:
    data = data_set(tmp_path, "a")
    stored(picture(), data / "images" / "a.png", 6)
    frames = Frames(data, (99, 99), 3)
    assert (frames.height, frames.width) == SIZE
    assert np.array_equal(frames.images[0], np.asarray(picture()))
    Image.fromarray(np.ones(SIZE[::-1], np.uint8)).save(data / "labels" / "a.png")
    with pytest.raises(ValueError, match=r"labels/a.png: 8x16 \(expected: 16x8, the size of the upright"):
        Frames(data, (99, 99), 3)
    stored(Image.fromarray(np.ones(SIZE, np.uint8)), data / "labels" / "a.png", 6)
    assert labels_of(data) == [1]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_label_ids_keep_their_values_or_are_void(tmp_path: Path, kind: type) -> None:
    ids = np.ones(SIZE, kind)
    others = {np.uint8: [255], np.uint16: [256, 258, 65535], np.int32: [256, 26001, 65535]}[kind]
    ids.reshape(-1)[: len(others)] = others
    assert labels_of(data_set(tmp_path, "a", ids)) == [1, VOID]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colours", [0, 3], ids=["grey", "palette"])
def test_label_ids_of_few_bits_are_as_stored(tmp_path: Path, bits: int, colours: int) -> None:
    """Such files come from tools that save space: 1 must not become 17."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    data = data_set(tmp_path, "a")
    ones = sum(1 << shift for shift in range(0, 8, bits))
    rows = (b"\0" + bytes([ones]) * (SIZE[1] * bits // 8)) * SIZE[0]
    (data / "labels" / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE[1], SIZE[0], bits, colours, 0, 0, 0))
        + (chunk(b"PLTE", bytes(range(6))) if colours else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert labels_of(data) == [1]


def test_numbers_are_brought_to_8_bits_by_one_rule(tmp_path: Path) -> None:
    numbers = (np.arange(128).reshape(SIZE) * 512).astype(np.uint16)
    for name, pixels in (
        ("16.png", numbers),
        ("16.tif", numbers),
        ("16.pgm", numbers),
        ("32.tif", numbers.astype(np.int32)),
        ("float.tif", (numbers.astype(np.float32) + 128) / 65535),
    ):
        Image.fromarray(pixels).save(tmp_path / name)
        found = np.asarray(read_image(tmp_path / name)).astype(int)
        assert np.abs(found - (numbers >> 8)[..., None]).max() <= (name == "float.tif")
    for name, pixels in (
        ("large.tif", numbers.astype(np.int32) * 9),
        ("bytes.tif", numbers.astype(np.float32) / 256),
        ("nan.tif", np.full(SIZE, np.nan, np.float32)),
    ):
        Image.fromarray(pixels).save(tmp_path / name)
        with pytest.raises(ValueError, match="expected: 0 to "):
            read_image(tmp_path / name)


def test_depth_does_not_wrap_and_keeps_proportions(tmp_path: Path) -> None:
    data = data_set(tmp_path, "a")
    (data / "depth").mkdir()
    Image.fromarray(np.full((4, 8), 70_000, np.int32)).save(data / "depth" / "a.png")
    assert np.unique(Frames(data, SIZE, 3).depth).tolist() == [65535]
    Image.fromarray(np.ones((16, 8), np.uint16)).save(data / "depth" / "a.png")
    with pytest.raises(ValueError, match=r"depth/a.png: 8x16 \(expected: the proportions"):
        Frames(data, SIZE, 3)
    Image.fromarray(np.ones((4, 8), np.uint8)).save(data / "depth" / "a.png")
    with pytest.raises(ValueError, match=r"depth/a.png: 8 bit, at most 2.55 m \(expected: 16 bit in centi"):
        Frames(data, SIZE, 3)


def test_depth_of_odd_frames_reaches_their_edges(tmp_path: Path) -> None:
    """Depth that counts the rows, or the columns, of frames of an odd height and width."""
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    for name, depth in zip("yx", np.indices((75, 41)) + 100, strict=True):
        Image.fromarray(np.zeros((75, 41, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(depth.astype(np.uint16)).save(tmp_path / "depth" / f"{name}.png")
    frames = Frames(tmp_path, (75, 41), 3)
    depth = frames.batch([(i, frames.whole()) for i in range(2)], (75, 41)).depth
    x, y = depth.double().numpy() * 100 - 100
    assert np.abs(y - np.arange(75)[:, None]).max() < 1.01
    assert np.abs(x - np.arange(41)).max() < 1.01


def test_labels_that_are_no_class_are_refused(tmp_path: Path) -> None:
    data = data_set(tmp_path, "a", np.full(SIZE, 9, np.uint8))
    with pytest.raises(ValueError, match=r"no label is a class's id \(expected: 0 to 2\)"):
        Frames(data, SIZE, 3).require("labels")


def test_labels_that_are_no_class_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = np.ones(SIZE, np.uint8)
    ids[0, :16], ids[1, :16] = 7, VOID
    ids[2, :16] = 3
    say_no_class(Frames(data_set(tmp_path, "a", ids), SIZE, 3))
    assert capsys.readouterr().err == (
        f"{tmp_path}: labels 3, 7 are no class of the model, which has 0 to 2: so 25% of the first image are "
        "void\n"
    )


def touch(path: Path) -> None:
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))


def test_arrays_are_as_old_as_their_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_set(tmp_path)
    before = Frames(data, SIZE, 3)
    Frames(data, SIZE, 3)
    assert capsys.readouterr().err == ""
    corrected = Image.fromarray(np.full(SIZE, 2, np.uint8))
    corrected.save(data / "labels" / "a.png")
    touch(data / "labels" / "a.png")
    after = Frames(data, SIZE, 3)
    assert np.unique(after.labels[0]).tolist() == [2]
    assert np.unique(before.labels[0]).tolist() == [1]  # who has mapped the old ones keeps them
    assert before.key() != after.key()
    assert capsys.readouterr().err == f"{data}/arrays: made anew: labels/a.png changed\n"
    (data / "images" / "b.png").unlink()
    (data / "labels" / "b.png").unlink()
    assert len(Frames(data, SIZE, 3)) == 1
    assert "made anew: images/b.png, labels/b.png gone" in capsys.readouterr().err
    Frames(data, (4, 8), 3)
    assert "made anew: other size" in capsys.readouterr().err
    monkeypatch.setattr("uplift_toolkit.data.code_of", lambda *_: "a later version")
    Frames(data, (4, 8), 3)
    assert "made anew: other code" in capsys.readouterr().err


class KilledError(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("moment", ["decoding", "moving", "truncated", "older version"])
def test_unfinished_arrays_are_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    data = data_set(tmp_path)
    arrays = data / "arrays"
    if moment == "decoding":
        count = iter(range(9))

        def killing(path: Path) -> Image.Image:
            if next(count) == 1:
                raise KilledError
            return read_image(path)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr("uplift_toolkit.data.read_image", killing)
            Frames(data, SIZE, 3)
        (arrays / "new-left").mkdir()  # what a signal leaves, unlike an exception
        (arrays / "new-left" / "images.npy").write_bytes(b"half")
    elif moment == "moving":
        count = iter(range(9))

        def halfway(path: Path, target: Path) -> None:
            if next(count) == 1:
                raise KilledError
            path.rename(target)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(Path, "replace", halfway)
            Frames(data, SIZE, 3)
    else:
        Frames(data, SIZE, 3)
        if moment == "truncated":
            os.truncate(arrays / "labels.npy", 130)
        else:
            (arrays / derived.SEAL).write_text("a\nb")
    capsys.readouterr()
    assert labels_of(data) == [1]
    assert sorted(path.name for path in arrays.iterdir()) == [
        derived.SEAL,
        "images.npy",
        "labels.npy",
        "lock",
    ]
    assert capsys.readouterr().err == f"{arrays}: made anew: unfinished, or of an older version\n"


def spoilt(data: Path) -> None:
    """Six frames, of which c alone is whole."""
    whole = (data / "images" / "a.png").read_bytes()
    (data / "images" / "a.png").write_bytes(whole[: len(whole) // 2])
    picture().save(data / "labels" / "b.png")  # in colours
    (data / "images" / "d.png").write_bytes(b"")
    Image.fromarray(np.ones((3, 3), np.uint8)).save(data / "labels" / "e.png")
    (data / "images" / "f.png").write_text("<html>")


def test_files_that_cannot_be_used_are_listed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_set(tmp_path, "abcdef")
    spoilt(data)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"5 files cannot be used \(--skip-bad leaves them out\)") as e:
            Frames(data, SIZE, 3)
        lines = str(e.value).splitlines()[1:]
        assert [line.split(":")[0].removeprefix(f"  {data}/") for line in lines] == [
            "images/a.png",
            "labels/b.png",
            "images/d.png",
            "labels/e.png",
            "images/f.png",
        ]
        assert all(len(line.split(": ", 1)[1]) > 9 for line in lines)
    capsys.readouterr()
    for _ in range(2):
        frames = Frames(data, SIZE, 3, skip_bad=True)
        assert frames.names == ["c"]
        assert np.array_equal(frames.images[0], np.asarray(picture()))
        assert "5 files that cannot be used are left out:\n" in capsys.readouterr().err
    with pytest.raises(ValueError, match="5 files cannot be used"):
        Frames(data, SIZE, 3)
    (data / "images" / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match="6 files cannot be used"):
        Frames(data, SIZE, 3, skip_bad=True)


def test_files_left_out_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path)
    (data / "images" / "._a.png").write_bytes(b"\0\5\26\7")
    (data / "images" / "c.heic").write_bytes(b"?")
    (data / "images" / "d.png").symlink_to("nowhere.png")
    (data / "labels" / "z.png").write_bytes(b"?")
    picture().save(data / "images" / "A b#%d.JFIF", "JPEG")
    Image.fromarray(np.ones(SIZE, np.uint8)).save(data / "labels" / "A b#%d.PNG", "PNG")
    assert Frames(data, SIZE, 3).names == ["A b#%d", "a", "b"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{data}/images: 1 left out (hidden): ._a.png"
    assert said[1] == f"{data}/images: 1 left out (links to nothing): d.png"
    assert said[2].startswith(f"{data}/images: 1 left out (read are .jpg ") and said[2].endswith("): c.heic")
    assert said[3:] == [f"{data}/labels: 1 left out (of no image): z.png"]


def test_both_spellings_of_accents_are_one_name(tmp_path: Path) -> None:
    data = data_set(tmp_path, ["Caf\u00e9"])
    decomposed = unicodedata.normalize("NFD", "Caf\u00e9.png")
    (data / "labels" / "Caf\u00e9.png").rename(data / "labels" / decomposed)
    assert labels_of(data) == [1]


def test_labels_of_other_names_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path, "a")
    (data / "labels" / "a.png").rename(data / "labels" / "a_mask.png")
    frames = Frames(data, SIZE, 3)
    assert capsys.readouterr().err == f"{data}/labels: 1 left out (of no image): a_mask.png\n"
    with pytest.raises(ValueError, match="no labels/"):
        frames.require("labels")


def test_two_images_of_one_name_do_not_share_labels(tmp_path: Path) -> None:
    data = data_set(tmp_path)
    picture().save(data / "images" / "a.jpg")
    with pytest.raises(ValueError, match=r"images/a.jpg: one of 2 images of this name\n.*images/a.png: one"):
        Frames(data, SIZE, 3)
    assert Frames(data, SIZE, 3, skip_bad=True).names == ["b"]
    assert len(sources(data, "train")) == 3  # who reads no labels has a use for all of them


def test_frames_without_labels_are_left_out_on_demand(tmp_path: Path) -> None:
    data = data_set(tmp_path)
    (data / "labels" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"1 frames without labels, as a .*--skip-bad leaves them out"):
        Frames(data, SIZE, 3)
    assert Frames(data, SIZE, 3, skip_bad=True).names == ["b"]


def test_a_split_goes_before_the_images_beside_it(tmp_path: Path) -> None:
    data = data_set(tmp_path, "ab")
    assert Frames(data, SIZE, 3, "val").names == ["a", "b"]
    data_set(tmp_path / "val", "c")
    assert Frames(data, SIZE, 3, "val").names == ["c"]
    assert Frames(data, SIZE, 3, "train").names == ["a", "b"]
