"""Records that are not what they claim to be: ValueError in one sentence, in bounded memory."""

import copy
import hashlib
import io
import json
import os
import random
import re
import runpy
import time
import tracemalloc
from pathlib import Path

import pytest
from hostile import MIB, Peak, refused, varint
from test_claims import referring

import uplift_records

HERE = Path(__file__).parent
GOLDEN = {path.stem: path.read_bytes() for path in (HERE.parents[1] / "src/test/resources/golden").iterdir()}
SCHEMAS = [
    json.loads(file.read_text())
    for file in sorted((HERE.parents[1] / "src/main/resources/io/upliftstream/schemas").glob("v*/*.avsc"))
]
FUZZ_SECONDS = float(os.environ.get("UPLIFT_FUZZ_SECONDS", "3"))


def long(number: int) -> bytes:
    """Avro's: zigzag, then LEB128."""
    return varint((number << 1 ^ number >> 63) & 0xFFFFFFFFFFFFFFFF)


def text(words: bytes) -> bytes:
    return long(len(words)) + words


def frame(camera: bytes, image: bytes = text(b"image"), clock: int = 0, name: bytes = long(0)) -> bytes:
    """A CameraFrame, from its fields as Avro writes them."""
    fields = camera + long(41) + long(5) + long(clock) + image + name + long(0) + long(0)
    return GOLDEN["camera-frame"][:10] + fields


def features(shape: bytes) -> bytes:
    """A FeatureRecord with a shape as Avro writes it, of no data."""
    source = text(b"topic") + long(0) + long(0) + long(0)
    header = text(b"camera") + long(1) + long(1) + long(0) + source + 5 * long(0)
    rest = long(0) + long(0) + long(0) + long(0) + long(4) + long(0) + long(0) + text(b"") + long(0)
    return GOLDEN["depth"][:10] + header + text(b"features") + long(0) + shape + rest


def names(array: bytes, drawn: bytes = long(8) + long(8) + text(b"\1\x40")) -> bytes:
    """A SegmentationRecord with class names and the RLE of a mask as Avro writes them."""
    source = text(b"topic") + long(0) + long(0) + long(0)
    header = text(b"camera") + long(1) + long(1) + long(0) + source + 5 * long(0)
    rest = array + long(255) + long(0) + drawn + long(0) + long(0)
    return GOLDEN["segmentation-rle"][:10] + header + text(b"head") + long(19) + rest


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
    assert describe(GOLDEN["video-packet"]).endswith("6 bytes of H264")
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


def fuzzed(dice: random.Random, count: int | None = None, seeds: list[bytes] | None = None):
    """Records with damage, without end or so many."""
    pieces = [long(n) for n in (-1, 0, 1, 2, 3, 1 << 20, 1 << 31, 1 << 62, -(1 << 63))] + [
        b"\x80",
        b"",
        bytes(64),
    ]
    seeds = seeds or [*GOLDEN.values(), frame(text(b"camera")), features(long(0)), names(long(0))]
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


def another(schema: dict, dice: random.Random) -> dict:
    """What a registry may hold in the schema's place: the same, or one with a field less or more."""
    types = ["int", ["null", "string"], "null", 7, None, [], {"type": "nothing"}]
    types += [{"type": "array", "items": items} for items in ("double", "null")]
    types += [{"type": "fixed", "name": "F", "size": 0}, {"type": "map", "values": "long"}]
    types.append({"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]})
    schema = copy.deepcopy(schema)
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randrange(len(schema["fields"]))
        if dice.random() < 0.3:
            del schema["fields"][at]
        else:
            schema["fields"].insert(at, {"name": "more", "type": dice.choice(types), "default": None})
    return schema


class Claims:
    """Has the payloads of two golden records, and for some questions others."""

    values = (referring("depth", "tensor"), referring("segmentation-rle", "mask"))
    payloads = (
        uplift_records.read(GOLDEN["depth"])["tensor"]["data"],
        uplift_records.read(GOLDEN["segmentation-rle"])["mask"]["data"],
    )

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.asked = dice, []

    def __call__(self, name: str) -> io.BytesIO:
        self.asked.append(name)
        for payload in self.payloads:
            if name.endswith(hashlib.sha256(payload).hexdigest()) and self.dice.random() < 0.9:
                return io.BytesIO(payload)
        return io.BytesIO(self.dice.choice(self.payloads))


@pytest.mark.parametrize("part", ["bytes", "fields", "framed", "claims"])
def test_fuzz(part):
    """A result or ValueError, whatever the bytes and the fields, within the memory that README.md states.

    Framed as Confluent does, with what a registry has or without one, and with payloads elsewhere, likewise.

    For UPLIFT_FUZZ_SECONDS; a failure shows the record.
    """
    dice = random.Random(1)
    limit = 1 << 16
    whole = [uplift_records.read(value) for value in GOLDEN.values()]
    tracemalloc.start()
    outcomes = {"record": 0, "array": 0, "refused": 0}
    end = time.monotonic() + FUZZ_SECONDS / 2
    claims = Claims(dice)
    for number, value in enumerate(fuzzed(dice, seeds=claims.values if part == "claims" else None)):
        if time.monotonic() > end:
            break
        options = {"claims": claims} if part == "claims" else {}
        if part == "fields":
            value = dice.choice([*GOLDEN.values()])
        elif part == "framed":
            value = dice.choice((value, dice.choice([*GOLDEN.values()])))
            kind = uplift_records._schemas().get(value[:10], {"name": ""})["name"].rpartition(".")[2]
            schema = another(dice.choice([s for s in SCHEMAS if s["name"] == kind] or SCHEMAS), dice)
            value = b"\0" + dice.randbytes(4) + value[10:]
            options = dice.choice(({}, {"schema_of": lambda _, schema=schema: schema}))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            record = uplift_records.read(value, max_payload=limit, **options)
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
        while claims.asked:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d/([0-9a-f]{2})/\1[0-9a-f]{62}", claims.asked.pop(), re.ASCII)
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak <= 40 * len(value) + 10 * limit + MIB, (number, value)
    tracemalloc.stop()
    print(f"{part}: {number} records, {outcomes}")
    assert min(outcomes.values()) > 0
    assert [uplift_records.read(value) for value in GOLDEN.values()] == whole
