"""Reads the records of uplift-stream: value bytes to dict, masks and tensors to numpy."""

import io
import json
from functools import cache
from importlib import resources
from typing import Any

import fastavro
import numpy as np
import zstandard
from fastavro.schema import fingerprint, to_parsing_canonical_form

__all__ = ["confidence", "labels", "read", "to_frame", "values"]

Record = dict[str, Any]

_MARKER = b"\xc3\x01"
_HEADER = 10


@cache
def _schemas() -> dict[bytes, Any]:
    """Every published schema, by the first ten bytes of its values."""
    schemas = {}
    for version in resources.files(__name__).joinpath("schemas").iterdir():
        for file in version.iterdir():
            schema = json.loads(file.read_text())
            crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
            schemas[_MARKER + bytes.fromhex(crc)] = fastavro.parse_schema(schema)
    return schemas


def read(value: bytes) -> Record:
    """One record of any of the topics, as a dict with the fields of its schema.

    ValueError says that the bytes are not in single-object encoding, of an unknown schema, or cut short.
    """
    schema = _schemas().get(value[:_HEADER])
    if schema is None:
        raise ValueError(
            f"value: {len(value)} bytes that begin with {value[:_HEADER].hex()} "
            "(expected: c301 and the fingerprint of a published schema, as docs/schemas.md lists them)"
        )
    try:
        return fastavro.schemaless_reader(io.BytesIO(value[_HEADER:]), schema, None)
    except (EOFError, IndexError) as error:
        raise ValueError(f"value: {len(value)} bytes (expected: a whole record)") from error


def labels(record: Record) -> np.ndarray:
    """The class at every pixel of a SegmentationRecord: u8[height, width]."""
    return _mask(record["mask"])


def confidence(record: Record) -> np.ndarray | None:
    """How probable every pixel's class is, 0 to 255 for 0 to 1: u8[height, width]; None if none was sent."""
    return None if record["confidence"] is None else _mask(record["confidence"])


def values(record: Record) -> np.ndarray:
    """The vector at every cell of a FeatureRecord: f32[channels, height, width], in any layout and type."""
    field = record["tensor"]
    try:
        dtype = np.dtype({"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1"}[field["dtype"]])
    except KeyError as unknown:
        raise ValueError(f"tensor: {unknown} (expected: a version of this reader that knows it)") from None
    data = field["data"]
    if field["compression"] == "ZSTD":
        data = _unzstd(data, int(np.prod(field["shape"])) * dtype.itemsize)
    tensor = np.frombuffer(data, dtype).reshape(field["shape"])
    if field["layout"] == "HWC":
        tensor = tensor.transpose(2, 0, 1)
    tensor = tensor.astype(np.float32)
    if field["dtype"] == "INT8":
        zero_points = np.array(field["zeroPoints"], np.float32).reshape(-1, 1, 1)
        tensor = (tensor - zero_points) * np.array(field["scales"], np.float32).reshape(-1, 1, 1)
    return tensor


def to_frame(record: Record, x: Any, y: Any) -> tuple[Any, Any]:
    """Points of the output grid in the frame, both in pixel edges: the middle of column i is x = i + 0.5."""
    geometry = record["header"]["geometry"]
    return (
        np.multiply(x, geometry["scaleX"]) + geometry["offsetX"],
        np.multiply(y, geometry["scaleY"]) + geometry["offsetY"],
    )


def _mask(field: Record) -> np.ndarray:
    data = field["data"]
    if field["encoding"] == "RLE":
        pixels = _runs(data)
    elif field["encoding"] == "PNG":
        from PIL import Image  # Pillow is an extra: few topics need it

        pixels = np.asarray(Image.open(io.BytesIO(data)))
    elif field["encoding"] == "RAW_ZSTD":
        pixels = np.frombuffer(_unzstd(data, field["height"] * field["width"]), np.uint8)
    else:
        raise ValueError(f"mask: {field['encoding']} (expected: a version of this reader that knows it)")
    return pixels.reshape(field["height"], field["width"])


def _runs(data: bytes) -> np.ndarray:
    """The labels of all pixels, from runs: a label, its length as LEB128, the next label and so on."""
    found, lengths, at = [], [], 0
    while at < len(data):
        found.append(data[at])
        length, shift, more = 0, 0, True
        while more:
            at += 1
            length |= (data[at] & 0x7F) << shift
            shift, more = shift + 7, data[at] >= 0x80
        lengths.append(length)
        at += 1
    return np.repeat(np.array(found, np.uint8), lengths)


def _unzstd(data: bytes, size: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
