"""The Python reader of docs/schemas.md, run on the records that the Java side wrote (GoldenRecords.java)."""

import importlib.util
import re
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastavro", reason="the reader of docs/schemas.md needs fastavro")

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "schemas/src/test/resources/golden"
needs_zstd = pytest.mark.skipif(
    importlib.util.find_spec("zstandard") is None, reason="zstd payloads need the package zstandard"
)


@pytest.fixture(scope="module")
def reader() -> types.ModuleType:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/schemas.md").read_text(), re.DOTALL)
    source = next(block for block in blocks if "def load_schemas" in block)
    module = types.ModuleType("record_reader")
    exec(compile(source, "docs/schemas.md", "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def read(reader):
    schemas = reader.load_schemas(ROOT / "schemas/src/main/resources/io/upliftstream/schemas")
    return lambda name: reader.read((GOLDEN / f"{name}.avro").read_bytes(), schemas)


def test_camera_frame(read):
    frame = read("camera-frame")
    assert frame["cameraId"] == "north-gate"
    assert frame["sequence"] == 41
    assert frame["captureTimeMicros"] == 1_767_225_600_123_456
    assert frame["captureClock"] == "CAMERA"
    assert frame["image"] == b"\xff\xd8\xff\xd9"
    assert frame["tracestate"] is None


@pytest.mark.parametrize("encoding", ["rle", "png", pytest.param("zstd", marks=needs_zstd)])
def test_segmentation(reader, read, encoding):
    record = read(f"segmentation-{encoding}")
    y, x = np.mgrid[:16, :24]
    expected = np.where(x >= 22, 255, (x // 5 + y // 3) % 19)
    np.testing.assert_array_equal(reader.mask(record["mask"]), expected)
    if encoding == "zstd":
        np.testing.assert_array_equal(reader.mask(record["confidence"]), (10 * x + y) % 256)
    else:
        assert record["confidence"] is None
    assert record["classNames"] == ["road", "sidewalk"]
    assert record["ignoreLabel"] == 255
    header = record["header"]
    assert header["source"] == {
        "topic": "camera-frames",
        "partition": 3,
        "offset": 1234,
        "timestampMillis": 1_767_225_600_150,
    }
    assert header["model"]["sha256"] == "ab" * 32
    assert (header["geometry"]["scaleX"], header["geometry"]["scaleY"]) == (55, 45)
    assert header["timings"]["upsampleMicros"] == 90_000


@pytest.mark.parametrize("suffix", ["", pytest.param("-zstd", marks=needs_zstd)])
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_features(reader, read, dtype, suffix):
    field = read(f"features-{dtype}{suffix}")["tensor"]
    channel, y, x = np.mgrid[:4, :4, :6]
    expected = (channel + 1) * (6 * y + x - 10) / 8
    values = reader.tensor(field)
    if dtype == "fp16":
        assert field["layout"] == "CHW"
        np.testing.assert_array_equal(values, expected)
    else:
        assert field["layout"] == "HWC"
        error = np.abs(values - expected.transpose(1, 2, 0))
        assert (error <= np.array(field["scales"]) * 1.001).all()
        assert (values[1, 4] == 0).all()
    assert field["stride"] == 4
    assert field["projection"] == "PCA to 4 of 128 channels"


def test_depth(reader, read):
    record = read("depth")
    assert record["unit"] == "m"
    np.testing.assert_array_equal(
        reader.tensor(record["tensor"]), np.arange(96, dtype=np.float32).reshape(1, 8, 12) / 2
    )


def test_failure_and_dropped(read):
    failure = read("failure")
    assert (failure["stage"], failure["reason"]) == ("decode", "NOT_AN_IMAGE")
    assert failure["original"] == b"no image"
    assert failure["header"]["model"] is None
    dropped = read("dropped")
    assert (dropped["count"], dropped["lastOffset"], dropped["ageMillis"]) == (7, 1246, 812)
