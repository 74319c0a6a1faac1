"""What is not what it claims to be: ValueError in one sentence, in bounded memory."""

import io
import os
import random
import runpy
import struct
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard

import uplift_records

HERE = Path(__file__).parent
GOLDEN = {path.stem: path.read_bytes() for path in (HERE.parents[1] / "src/test/resources/golden").iterdir()}
FUZZ_SECONDS = float(os.environ.get("UPLIFT_FUZZ_SECONDS", "3"))
MIB = 1 << 20


def varint(number: int) -> bytes:
    """LEB128."""
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def long(number: int) -> bytes:
    """Avro's: zigzag, then LEB128."""
    return varint((number << 1 ^ number >> 63) & 0xFFFFFFFFFFFFFFFF)


def text(words: bytes) -> bytes:
    return long(len(words)) + words


def mask(encoding: str, data: bytes, width: int = 8, height: int = 8) -> uplift_records.Record:
    return {"mask": {"encoding": encoding, "data": data, "width": width, "height": height}}


def tensor(shape: list[int], data: bytes, **others: object) -> uplift_records.Record:
    field = {"dtype": "FLOAT16", "layout": "CHW", "compression": "NONE", "scales": [], "zeroPoints": []}
    return {"tensor": {**field, "shape": shape, "data": data, **others}}


def frame(camera: bytes, image: bytes = text(b"image"), clock: int = 0, name: bytes = long(0)) -> bytes:
    """A CameraFrame, from its fields as Avro writes them."""
    fields = camera + long(41) + long(5) + long(clock) + image + name + long(0) + long(0)
    return GOLDEN["camera-frame"][:10] + fields


def features(shape: bytes) -> bytes:
    """A FeatureRecord with a shape as Avro writes it, of no data."""
    source = text(b"topic") + long(0) + long(0) + long(0)
    header = text(b"camera") + long(1) + long(1) + long(0) + source + 5 * long(0)
    rest = long(0) + long(0) + long(0) + long(0) + long(4) + long(0) + long(0) + text(b"")
    return GOLDEN["depth"][:10] + header + text(b"features") + long(0) + shape + rest


def names(array: bytes, drawn: bytes = long(8) + long(8) + text(b"\1\x40")) -> bytes:
    """A SegmentationRecord with class names and the RLE of a mask as Avro writes them."""
    source = text(b"topic") + long(0) + long(0) + long(0)
    header = text(b"camera") + long(1) + long(1) + long(0) + source + 5 * long(0)
    rest = array + long(255) + long(0) + drawn + long(0)
    return GOLDEN["segmentation-rle"][:10] + header + text(b"head") + long(19) + rest


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


class Peak:
    """The most memory that a block had at a time, in bytes, as Python and numpy allocate it."""

    def __enter__(self):
        tracemalloc.start()
        self.start = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *error):
        self.bytes = tracemalloc.get_traced_memory()[1] - self.start
        tracemalloc.stop()


def refused(read, message: str = "expected", at_most: int = MIB) -> None:
    with Peak() as peak, pytest.raises(ValueError, match=message):
        read()
    assert peak.bytes <= at_most


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


@pytest.mark.parametrize(
    "value",
    [
        None,
        frame(long(-3)),
        frame(long(1 << 40)),
        frame(long(-(1 << 63))),
        frame(text(b"\xff")),
        frame(text(b"camera"), image=long((1 << 31) - 100)),
        frame(text(b"camera"), clock=9),
        frame(text(b"camera"), name=long(7)),
        frame(100_000 * b"\x80" + b"\1"),
        frame(text(b"camera")) + b"\0",
        features(long(1 << 62)),
        features(long(-(1 << 62)) + long(8)),
        features(long(3) + long(1)),
        names(long((1 << 31) - 1)),
        *(GOLDEN[name][:-1] for name in GOLDEN),
    ],
)
def test_records(value):
    refused(lambda: uplift_records.read(value), r"value: .*\(expected: ")


def test_arrays_take_memory_as_their_bytes_do():
    count = 50_000
    for value in (
        features(long(count) + bytes(count) + long(0)),
        features(long(count) + count * long(5000) + long(0)),
        features(count * (long(1) + long(1)) + long(0)),
        names(long(count) + bytes(count) + long(0)),
        names(long(count) + count * text("\u0424".encode()) + long(0)),
    ):
        with Peak() as peak:
            record = uplift_records.read(value)
        assert peak.bytes <= 40 * len(value)
        if "tensor" in record:
            refused(lambda record=record: uplift_records.values(record), "axes")


def test_a_record_of_another_topic():
    depth, drawn = (uplift_records.read(GOLDEN[name]) for name in ("depth", "segmentation-rle"))
    failure, taken = (uplift_records.read(GOLDEN[name]) for name in ("failure", "camera-frame"))
    refused(lambda: uplift_records.labels(depth), "no mask")
    refused(lambda: uplift_records.confidence(depth), "no confidence")
    refused(lambda: uplift_records.values(drawn), "no tensor")
    refused(lambda: uplift_records.to_frame(failure, 1, 1), "no geometry")
    refused(lambda: uplift_records.to_frame(taken, 1, 1), "no header")


def test_example_goes_on():
    describe = runpy.run_path(str(HERE.parent / "examples/follow.py"))["describe"]
    assert describe(None) == "not readable: value: none (expected: a record)"
    assert describe(GOLDEN["depth"][:-1]).startswith("not readable: value: ")
    assert describe(features(long(0))).startswith("not readable: tensor: 0 axes")
    assert describe(GOLDEN["camera-frame"]).endswith("4 bytes of image")
    assert describe(names(long(0))).startswith("not readable: record: no geometry")
    escape = frame(text(b"\x1b]0;title\7\n" + 9000 * b"z"))
    assert describe(escape).startswith("?]0;title??zzz")
    assert len(describe(escape)) == 500
    with Peak() as peak:
        assert "at most 4194304" in describe(
            names(long(0), long(1 << 13) + long(1 << 12) + text(b"\1\x80\x80\x80\x10"))
        )
    assert peak.bytes <= MIB
    for value in fuzzed(random.Random(2), 500):
        assert describe(value).isprintable()


def fuzzed(dice: random.Random, count: int | None = None):
    """Records with damage, without end or so many."""
    pieces = [long(n) for n in (-1, 0, 1, 2, 3, 1 << 20, 1 << 31, 1 << 62, -(1 << 63))] + [
        b"\x80",
        b"",
        bytes(64),
    ]
    seeds = [*GOLDEN.values(), frame(text(b"camera")), features(long(0)), names(long(0))]
    made = 0
    while count is None or made < count:
        value = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(value)) if value else 0
            change = dice.randrange(5)
            if change == 0 and value:
                value[at] ^= 1 << dice.randrange(8)
            elif change == 1:
                value[at : at + dice.randint(0, 4)] = dice.choice(pieces)
            elif change == 2:
                value[at : at + dice.randint(1, 8)] = dice.randbytes(dice.randint(0, 8))
            elif change == 3:
                other = dice.choice(seeds)
                value[at:] = other[dice.randrange(len(other)) :]
            else:
                del value[at + dice.randint(0, 40) :]
        yield bytes(value)
        made += 1


def changed(record: uplift_records.Record, dice: random.Random) -> uplift_records.Record:
    """The same with other sizes, kinds or data in its masks and tensor: what a valid record may hold."""
    sizes = (-(1 << 31), -1, 0, 1, 3, 8, 16, 24, 255, 256, 1 << 16, (1 << 31) - 1)
    for name in {"mask", "confidence", "tensor"} & set(record):
        field = record[name]
        if field is None:
            continue
        for key in field:
            if dice.random() < 0.3:
                if key == "data":
                    data = bytearray(field[key] or b"\0")
                    data[dice.randrange(len(data))] = dice.randrange(256)
                    field[key] = bytes(data[: dice.choice((None, dice.randrange(len(data) + 1)))])
                elif key in ("width", "height", "stride"):
                    field[key] = dice.choice(sizes)
                elif key in ("shape", "zeroPoints", "scales"):
                    field[key] = [dice.choice(sizes) for _ in range(dice.choice((0, 1, 3, 3, 4)))]
                elif key == "encoding":
                    field[key] = dice.choice(("RLE", "PNG", "RAW_ZSTD", "UNKNOWN"))
                elif key in ("dtype", "compression", "layout"):
                    field[key] = dice.choice(("INT8", "FLOAT16", "FLOAT32", "NONE", "ZSTD", "CHW", "HWC"))
    return record


@pytest.mark.parametrize("part", ["bytes", "fields"])
def test_fuzz(part):
    """A result or ValueError, whatever the bytes and the fields, within the memory that README.md states.

    For UPLIFT_FUZZ_SECONDS; a failure shows the record.
    """
    dice = random.Random(1)
    limit = 1 << 16
    whole = [uplift_records.read(value) for value in GOLDEN.values()]
    tracemalloc.start()
    outcomes = {"record": 0, "array": 0, "refused": 0}
    end = time.monotonic() + FUZZ_SECONDS / 2
    for number, value in enumerate(fuzzed(dice)):
        if time.monotonic() > end:
            break
        if part == "fields":
            value = dice.choice([*GOLDEN.values()])
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            record = uplift_records.read(value)
            outcomes["record"] += 1
            if part == "fields":
                record = changed(record, dice)
            if "mask" in record:
                assert uplift_records.labels(record, limit).size <= limit
                uplift_records.confidence(record, limit)
                uplift_records.to_frame(record, 1, 1)
                outcomes["array"] += 1
            if "tensor" in record:
                assert uplift_records.values(record, limit).size <= limit
                outcomes["array"] += 1
        except ValueError as problem:
            assert "expected" in str(problem), (number, value)
            outcomes["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"record {number}: {value.hex()}") from error
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak <= 40 * len(value) + 10 * limit + MIB, (number, value)
    tracemalloc.stop()
    print(f"{part}: {number} records, {outcomes}")
    assert min(outcomes.values()) > 0
    assert [uplift_records.read(value) for value in GOLDEN.values()] == whole
