"""Masks and tensors that are not what they claim to be: ValueError in one sentence, in bounded memory."""

import io
import struct
import sys
import zlib

import pytest
import zstandard
from hostile import MIB, Peak, refused, varint

import uplift_records


def mask(encoding: str, data: bytes, width: int = 8, height: int = 8) -> uplift_records.Record:
    return {"mask": {"encoding": encoding, "data": data, "width": width, "height": height}}


def tensor(shape: list[int], data: bytes, **others: object) -> uplift_records.Record:
    field = {"dtype": "FLOAT16", "layout": "CHW", "compression": "NONE", "scales": [], "zeroPoints": []}
    return {"tensor": {**field, "shape": shape, "data": data, **others}}


def png(width: int, height: int, *kinds: int, before: bytes = b"", pixels: bytes | None = None) -> bytes:
    """Bits, colour type, compression, filter and interlace method; 8 bits of grey unless they are given."""
    rows = pixels if pixels is not None else zlib.compress((b"\0" + bytes(width)) * height)
    header = struct.pack(">II5B", width, height, *(kinds or (8, 0, 0, 0, 0)))
    chunks = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        out += chunk(kind, data)
        if kind == b"IHDR":
            out += before
    return out


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zstd(data: bytes, says_size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=says_size).compress(data)


def window(descriptor: int) -> bytes:
    """A zstd frame of nothing that asks for a window of 2^(10 + descriptor / 8) bytes."""
    return struct.pack("<IBB", 0xFD2FB528, 0, descriptor) + b"\1\0\0"


def other_image(format: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, format)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\1" + varint(1 << 30), "a run of 1073741824 pixels after 0 of 64"),
        (b"\1" + varint(1 << 40), "varint of at most 5 bytes"),
        (b"\1\x80", "without the end of its length"),
        (b"\1", "without the end of its length"),
        (b"\1\x40\1", "without the end of its length"),
        (b"\1" + 200_000 * b"\x80" + b"\1", "varint of at most 5 bytes"),
        (b"\1\xc0\x80\x80\x80\x80\0", "varint of at most 5 bytes"),
        (b"\1\0\1\x40", "a run of 0 pixels"),
        (b"\1\x40\1\1", "a run of 1 pixels after 64 of 64"),
        (b"\1\x3f", "runs of 63 pixels"),
        (b"", "runs of 0 pixels"),
    ],
)
def test_runs(data, message):
    refused(lambda: uplift_records.labels(mask("RLE", data)), message)


def test_a_length_may_take_more_bytes_than_it_needs():
    assert (uplift_records.labels(mask("RLE", b"\1\xc0\x80\x80\x80\0")) == 1).all()


@pytest.mark.parametrize("encoding", ["RLE", "PNG", "RAW_ZSTD", "UNKNOWN"])
@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, -1), (-8, -8), (1 << 16, 1 << 16), (8193, 8192)])
def test_sizes_of_masks(encoding, width, height):
    for data in b"", bytes(64):
        refused(
            lambda data=data: uplift_records.labels(mask(encoding, data, width, height)), r"mask: .* pixels"
        )


def test_zeros_in_kilobytes_are_bounded_by_the_caller():
    honest = mask("RAW_ZSTD", zstd(bytes(1 << 24)), 1 << 12, 1 << 12)
    assert len(honest["mask"]["data"]) < 2048
    assert uplift_records.labels(honest).shape == (1 << 12, 1 << 12)
    refused(lambda: uplift_records.labels(honest, max_pixels=1 << 20), "at most 1048576")
    honest["confidence"] = honest["mask"]
    refused(lambda: uplift_records.confidence(honest, max_pixels=1 << 20), "at most 1048576")
    honest = tensor([1, 1 << 11, 1 << 11], zstd(bytes(1 << 23)), compression="ZSTD")
    with Peak() as peak:
        assert uplift_records.values(honest).shape == (1, 1 << 11, 1 << 11)
    assert peak.bytes <= 8 * (1 << 22) + MIB
    refused(lambda: uplift_records.values(honest, max_elements=1 << 20), "at most 1048576")


@pytest.mark.parametrize(
    "frame",
    [
        zstd(bytes(64 * MIB)),  # says its size: the library would allocate it
        zstd(bytes(64 * MIB), says_size=False),
        zstd(bytes(63)),
        zstd(bytes(63), says_size=False),
        zstd(bytes(64))[:-1],
        zstd(bytes(64)) + b"more",
        2 * zstd(bytes(32)),
        zstd(b""),
        b"",
        b"no zstd at all",
        window(17 << 3),
        window(31 << 3),
        struct.pack("<II", 0x184D2A50, 4) + b"skip",
        struct.pack("<II", 0x184D2A50, 0xFFFFFFFF),
    ],
)
def test_zstd(frame):
    refused(lambda: uplift_records.labels(mask("RAW_ZSTD", frame)), r"zstd: .*\(expected: ")
    refused(
        lambda: uplift_records.values(tensor([1, 4, 8], frame, compression="ZSTD")), r"zstd: .*\(expected: "
    )


@pytest.mark.parametrize(
    "data",
    [
        png(8, 8)[:-20],
        png(8, 8)[:30],
        png(1 << 15, 1 << 15, pixels=b""),
        png(8, 8, pixels=zlib.compress((b"\0" + bytes(8)) * 7)),
        png(8, 8, pixels=b"no deflate"),
        png(8, 8, 16, 0, 0, 0, 0),
        png(8, 8, 4, 0, 0, 0, 0),
        png(8, 8, 8, 2, 0, 0, 0),
        png(8, 8, 8, 0, 0, 0, 1),
        png(8, 8, before=chunk(b"IHDR", struct.pack(">II5B", 1 << 15, 1 << 15, 8, 0, 0, 0, 0))),
        png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * MIB)))),
        png(8, 8, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 * MIB)))[:-1]),
        b"",
        b"\x89PNG\r\n\x1a\n",
        other_image("GIF"),
        other_image("TIFF"),
        other_image("EPS"),  # Pillow hands such a file to Ghostscript
    ],
)
def test_png(data):
    refused(lambda: uplift_records.labels(mask("PNG", data)), r"expected: a PNG of 8 x 8", 4 * MIB)


def test_png_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(lambda: uplift_records.labels(mask("PNG", png(8, 8))), r"PNG \(expected: Pillow")


@pytest.mark.parametrize(
    "shape",
    [
        [],
        [4],
        [4, 4],
        [1, 1, 4, 4],
        [-1, 2, 2],
        [-1, -2, 2],
        [0, 4, 4],
        [1 << 10, 1 << 15, 1 << 15],
        [1] * 100_000,
    ],
)
@pytest.mark.parametrize("compression", ["NONE", "ZSTD"])
def test_shapes(shape, compression):
    for data in b"", bytes(8), zstd(bytes(8)):
        record = tensor(shape, data, compression=compression)
        refused(lambda record=record: uplift_records.values(record), r"tensor: \d+ axes.*\(expected: 3 of")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (tensor([1, 2, 2], bytes(7)), r"7 bytes \(expected: 8"),
        (tensor([1, 2, 2], bytes(9)), r"9 bytes \(expected: 8"),
        (tensor([1, 2, 2], bytes(8), layout="UNKNOWN"), "a version of this reader"),
        (tensor([1, 2, 2], bytes(8), dtype="UNKNOWN"), "a version of this reader"),
        (tensor([1, 2, 2], bytes(8), compression="UNKNOWN"), "a version of this reader"),
        (tensor([2, 2, 2], bytes(8), dtype="INT8"), "0 scales and 0 zero points"),
        (tensor([2, 2, 2], bytes(8), dtype="INT8", scales=[1.0] * 3, zeroPoints=[0] * 3), "3 scales"),
        (tensor([2, 2, 2], bytes(8), dtype="INT8", scales=[1.0], zeroPoints=[]), "0 zero points"),
        (mask("UNKNOWN", bytes(64)), "a version of this reader"),
    ],
)
def test_what_does_not_fit_together(record, message):
    refused(
        lambda: uplift_records.values(record) if "tensor" in record else uplift_records.labels(record),
        message,
    )


def test_scales_that_are_no_numbers(recwarn):
    scales, zero_points = [float("nan"), float("inf")], [0, -(1 << 31)]
    record = tensor([2, 1, 1], b"\x7f\x80", dtype="INT8", scales=scales, zeroPoints=zero_points)
    assert uplift_records.values(record).shape == (2, 1, 1)
    assert not recwarn.list
