"""The reader and its example, on the records that the Java side wrote (GoldenRecords.java)."""

import io
import re
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import uplift_records

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "src/test/resources/golden"


def value(name: str) -> bytes:
    return (GOLDEN / f"{name}.avro").read_bytes()


def read(name: str) -> uplift_records.Record:
    return uplift_records.read(value(name))


def test_camera_frame():
    frame = read("camera-frame")
    assert frame["cameraId"] == "north-gate"
    assert frame["sequence"] == 41
    assert frame["captureTimeMicros"] == 1_767_225_600_123_456
    assert frame["captureClock"] == "CAMERA"
    assert frame["image"] == b"\xff\xd8\xff\xd9"
    assert frame["tracestate"] is None


@pytest.mark.parametrize("encoding", ["rle", "png", "zstd"])
def test_segmentation(encoding):
    record = read(f"segmentation-{encoding}")
    y, x = np.mgrid[:16, :24]
    expected = np.where(x >= 22, 255, (x // 5 + y // 3) % 19)
    np.testing.assert_array_equal(uplift_records.labels(record), expected)
    if encoding == "zstd":
        np.testing.assert_array_equal(uplift_records.confidence(record), (10 * x + y) % 256)
    else:
        assert uplift_records.confidence(record) is None
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


@pytest.mark.parametrize("suffix", ["", "-zstd"])
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_features(dtype, suffix):
    record = read(f"features-{dtype}{suffix}")
    field = record["tensor"]
    channel, y, x = np.mgrid[:4, :4, :6]
    expected = (channel + 1) * (6 * y + x - 10) / 8
    values = uplift_records.values(record)
    assert values.dtype == np.float32
    if dtype == "fp16":
        assert field["layout"] == "CHW"
        np.testing.assert_array_equal(values, expected)
    else:
        assert field["layout"] == "HWC"
        error = np.abs(values - expected)
        assert (error <= np.array(field["scales"]).reshape(-1, 1, 1) * 1.001).all()
        assert (values[:, 1, 4] == 0).all()
    assert field["stride"] == 4
    assert field["projection"] == "PCA to 4 of 128 channels"


def test_depth():
    record = read("depth")
    assert record["unit"] == "m"
    np.testing.assert_array_equal(
        uplift_records.values(record), np.arange(96, dtype=np.float32).reshape(1, 8, 12) / 2
    )


def test_failure_and_dropped():
    failure = read("failure")
    assert (failure["stage"], failure["reason"]) == ("decode", "NOT_AN_IMAGE")
    assert failure["original"] == b"no image"
    assert failure["header"]["model"] is None
    dropped = read("dropped")
    assert (dropped["count"], dropped["lastOffset"], dropped["ageMillis"]) == (7, 1246, 812)


def test_to_frame():
    record = read("segmentation-rle")
    geometry = record["header"]["geometry"]
    x, y = uplift_records.to_frame(record, np.array([0, 24]), 16)
    np.testing.assert_array_equal(x, [geometry["offsetX"], 24 * 55 + geometry["offsetX"]])
    assert y == 16 * 45 + geometry["offsetY"]


@pytest.mark.parametrize("wrong", [b"", b"\xff\xd8 a JPEG", value("depth")[:40]])
def test_what_is_no_record_is_said_in_one_sentence(wrong):
    with pytest.raises(ValueError, match="expected"):
        uplift_records.read(wrong)


def test_readme(monkeypatch, capsys):
    """Its code runs as it stands, with a stand-in for the Kafka client."""
    consumers = []

    class Message:
        def __init__(self, name):
            self.name = name

        def value(self):
            return None if self.name is None else value(self.name)

        def partition(self):
            return 3

        def offset(self):
            return 17

        def error(self):
            return None

    class Consumer:
        def __init__(self, settings):
            self.settings, self.topics, self.closed = settings, [], False
            self.messages = iter(
                [None, *map(Message, ("segmentation-rle", None, "depth", "segmentation-zstd"))]
            )
            consumers.append(self)

        def subscribe(self, topics):
            self.topics = topics

        def poll(self, timeout):
            try:
                return next(self.messages)
            except StopIteration:
                raise KeyboardInterrupt from None  # as Ctrl-C does

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "confluent_kafka", types.SimpleNamespace(Consumer=Consumer))
    reading, loop = re.findall(r"```python\n(.*?)```", (HERE.parent / "README.md").read_text(), re.DOTALL)
    for name, found, shape in (("segmentation-rle", "labels", (16, 24)), ("depth", "values", (1, 8, 12))):
        namespace = {"message": Message(name)}
        exec(reading, namespace)
        assert namespace[found].shape == shape
    exec(loop, {})
    share = (uplift_records.labels(read("segmentation-rle")) == 11).mean()
    assert capsys.readouterr().out.splitlines() == [
        f"north-gate 41 {share:.1%} persons",
        "partition 3, offset 17: value: none (expected: a record)",
        "partition 3, offset 17: record: no mask (expected: a record of a topic that has it)",
        f"north-gate 41 {share:.1%} persons",
    ]
    (consumer,) = consumers
    assert consumer.settings["isolation.level"] == "read_committed"
    assert consumer.topics == ["segmentation"]
    assert consumer.closed


def test_example_cuts_a_stream_into_pictures():
    example = runpy.run_path(str(HERE.parent / "examples/publish_video.py"))
    key = example["DELIMITER"] + bytes.fromhex("1000000001674d0000000168ee000000016588")
    other = example["DELIMITER"] + bytes.fromhex("3000000001419a")
    units = list(example["access_units"](io.BytesIO(key + other + other)))
    assert units == [key, other, other]
    assert [example["key_frame"](unit) for unit in units] == [True, False, False]


def test_example():
    describe = runpy.run_path(str(HERE.parent / "examples/follow.py"))["describe"]
    assert describe(value("segmentation-rle")).startswith("north-gate 41 ")
    assert "mostly" in describe(value("segmentation-rle"))
    assert describe(value("depth")).endswith("depth (1, 8, 12): 0 to 47.5 m")
    assert describe(value("failure")).endswith("NOT_AN_IMAGE")
