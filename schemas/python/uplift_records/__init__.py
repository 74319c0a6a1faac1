"""Reads the records of uplift-stream: value bytes to dict, masks and tensors to numpy.

Whatever is on a topic, these functions return what they promise or raise ValueError with one sentence.
`read` takes at most some 40 bytes of memory for each byte of the value. A mask or a tensor is decoded only
where its data are of the size that the record states, and that is within a limit: 2^26 pixels or elements,
or what the caller says.
"""

import contextlib
import hashlib
import io
import json
import math
import re
import struct
import zlib
from array import array
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import fastavro
import numpy as np
import zstandard
from fastavro.schema import fingerprint, to_parsing_canonical_form

from .registry import Registry, check

__all__ = [
    "MAX_ELEMENTS",
    "MAX_PAYLOAD",
    "MAX_PIXELS",
    "Registry",
    "confidence",
    "labels",
    "read",
    "to_frame",
    "values",
]

Record = dict[str, Any]

# Where payloads are that records refer to: a directory, a URL for fsspec, or what opens a name below it.
Claims = str | Path | Callable[[str], BinaryIO]

# Unless the caller says otherwise. While it is decoded, a mask takes up to 10 bytes of memory for each pixel,
# a tensor 8 for each element.
MAX_PIXELS = 1 << 26
MAX_ELEMENTS = 1 << 26
MAX_PAYLOAD = 4 * MAX_ELEMENTS  # bytes of what a record refers to

_MARKER = b"\xc3\x01"
_HEADER = 10
_WIRE_HEADER = 5  # a zero and the schema's id
_DTYPES = {"FLOAT32": np.dtype("<f4"), "FLOAT16": np.dtype("<f2"), "INT8": np.dtype("i1")}
_MAX_VARINT = 5
_NAME = re.compile(r"(?:^|/)(\d{4}-\d\d-\d\d/([0-9a-f]{2})/(\2[0-9a-f]{62}))\Z", re.ASCII)
_MAX_WINDOW = 1 << 23  # of zstd; RFC 8878 asks every decoder for 8 MiB, and no more


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


@cache
def _newest() -> dict[str, Any]:
    """The newest published schema of every record, by its full name."""
    versions = sorted(resources.files(__name__).joinpath("schemas").iterdir(), key=lambda v: int(v.name[1:]))
    newest = [fastavro.parse_schema(json.loads(file.read_text())) for file in versions[-1].iterdir()]
    return {schema["name"]: schema for schema in newest}


def read(
    value: bytes | None,
    schema_of: Callable[[int], Any] | None = None,
    claims: Claims | None = None,
    max_payload: int = MAX_PAYLOAD,
) -> Record:
    """One record of any of the topics, as a dict with the fields of its schema.

    In Avro's single-object encoding or in Confluent's wire format, which the value's first bytes tell.
    `schema_of`, such as a `Registry`, has the writer's schema for an id of the wire format; without it,
    the one published schema that takes every byte is the value's.

    `claims` is the directory of the job's claim check, and what the record refers to is put in its place: a
    path, a URL for fsspec, or a function from a name below it to a binary file. No other place is looked at,
    whatever a record says. Without it a record comes as it is.

    ValueError: there is no value (a tombstone), its bytes are not a record of a published schema, whole and
    alone, or a payload cannot be had (an OSError is its cause) or is not the one that the record names.
    """
    if value is None:
        raise ValueError("value: none (expected: a record)")
    record = _decode(bytes(value), schema_of)
    if claims is not None:
        _fetch(record, claims, max_payload)
    return record


def _decode(value: bytes, schema_of: Callable[[int], Any] | None) -> Record:
    if value[:1] == b"\0" and len(value) >= _WIRE_HEADER:
        schema_id = int.from_bytes(value[1:_WIRE_HEADER], "big")
        return (
            _read_published(value, schema_id) if schema_of is None else _read_by(value, schema_of(schema_id))
        )
    schema = _schemas().get(value[:_HEADER])
    if schema is None:
        raise ValueError(
            f"value: {len(value)} bytes that begin with {value[:_HEADER].hex()} "
            "(expected: c301 and the fingerprint of a published schema, as docs/schemas.md lists them)"
        )
    return _read(value, _HEADER, schema)


def _read(value: bytes, header: int, writer: Any, reader: Any = None) -> Record:
    stream = io.BytesIO(value)
    stream.seek(header)
    try:
        record = fastavro.schemaless_reader(stream, writer, reader)
    except Exception as error:  # damaged bytes make fastavro raise nearly anything
        raise ValueError(f"value: {len(value)} bytes (expected: a whole record)") from error
    if stream.tell() != len(value):
        raise ValueError(f"value: {len(value)} bytes (expected: none after the record's {stream.tell()})")
    return record


def _fetch(record: Record, claims: Claims, max_payload: int) -> None:
    """Puts payloads in the place of references."""
    for what in ("mask", "confidence", "tensor"):
        holder = record.get(what)
        if holder is not None and holder.get("reference") is not None:
            holder["data"] = _payload(what, holder["reference"], claims, max_payload)
            holder["reference"] = None
    if record.get("originalReference") is not None:
        record["original"] = _payload("original", record["originalReference"], claims, max_payload)
        record["originalReference"] = None


def _payload(what: str, reference: Record, claims: Claims, max_payload: int) -> bytes:
    shown, length, sha256 = _shown(reference), reference["length"], reference["sha256"]
    name = _NAME.search(reference["uri"])
    if name is None or name[3] != sha256:
        raise ValueError(
            f"{what}: at {shown} "
            "(expected: a URI that ends in a day, two digits of the SHA-256 and the SHA-256)"
        )
    if not 0 <= length <= max_payload:
        raise ValueError(f"{what}: {length} bytes at {shown} (expected: at most {max_payload})")
    try:
        with _open(claims, name[1]) as file:
            payload = file.read(length + 1)
    except Exception as error:  # a store's client raises nearly anything
        raise ValueError(f"{what}: {shown} cannot be read: {error} (expected: {length} bytes)") from error
    if len(payload) != length or hashlib.sha256(payload).hexdigest() != sha256:
        found = "other" if len(payload) == length else "more" if len(payload) > length else str(len(payload))
        raise ValueError(f"{what}: {shown} holds {found} bytes (expected: {length} of this SHA-256)")
    return payload


def _open(claims: Claims, name: str) -> Any:
    if callable(claims):
        return claims(name)
    if isinstance(claims, Path) or "://" not in claims:
        return (Path(claims) / name).open("rb")
    try:
        import fsspec  # an extra: who has a directory needs none
    except ModuleNotFoundError as error:
        raise ValueError("fsspec is not installed, which uplift-records[claims] installs") from error
    return fsspec.open(f"{claims.rstrip('/')}/{name}", "rb")


def _shown(reference: Record) -> str:
    return re.sub(r"[^!-~]", "?", reference["uri"][:200])


def _here(what: str, field: Record) -> bytes:
    reference = field.get("reference")
    if reference is not None:
        raise ValueError(
            f"{what}: its {reference['length']} bytes are at {_shown(reference)} "
            "(expected: read(value, claims=DIRECTORY))"
        )
    return field["data"]


def _read_published(value: bytes, schema_id: int) -> Record:
    fitting = {}
    for schema in _schemas().values():
        with contextlib.suppress(ValueError):
            fitting.setdefault(schema["name"], _read(value, _WIRE_HEADER, schema))
    if len(fitting) != 1:
        raise ValueError(
            f"value: {len(value)} bytes in Confluent's wire format, schema id {schema_id}, that are "
            f"{' or '.join(fitting) or 'of no published schema'} (expected: schema_of, such as a Registry)"
        )
    return next(iter(fitting.values()))


def _read_by(value: bytes, writer: Any) -> Record:
    try:
        check(writer)
        writer = fastavro.parse_schema(_plain(writer))
    # fastavro's, of which some are a ValueError, and those of a JSON that is no schema
    except Exception as error:
        if "(expected: " in str(error):
            raise
        raise ValueError(f"writer's schema: {str(error)[:200]} (expected: one of Avro)") from error
    name = writer.get("name") if isinstance(writer, dict) else None
    reader = _newest().get(name)
    if reader is None:
        raise ValueError(f"writer's schema: {str(name)[:200]} (expected: one of {', '.join(_newest())})")
    return _read(value, _WIRE_HEADER, writer, reader)


def _plain(schema: Any) -> Any:
    """Without logical types: fastavro makes values of the writer's, such as a datetime, and no others."""
    if isinstance(schema, list):
        return [_plain(node) for node in schema]
    if isinstance(schema, dict):
        return {key: _plain(node) for key, node in schema.items() if key != "logicalType"}
    return schema


def labels(record: Record, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The class at every pixel of a SegmentationRecord: u8[height, width].

    ValueError: it is no such record, has more than `max_pixels`, or its bytes are not a mask of its size.
    """
    return _mask(_field(record, "mask"), max_pixels)


def confidence(record: Record, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """The probability of that class, 0 to 255 for 0 to 1: u8[height, width]; None if it was not sent.

    ValueError: as for `labels`.
    """
    field = _field(record, "confidence")
    return None if field is None else _mask(field, max_pixels)


def values(record: Record, max_elements: int = MAX_ELEMENTS) -> np.ndarray:
    """The vector at every cell of a FeatureRecord: f32[channels, height, width], in any layout and type.

    ValueError: it is no such record, has more than `max_elements`, or its bytes are not a tensor of its
    shape.
    """
    field = _field(record, "tensor")
    shape, layout, dtype = field["shape"], field["layout"], _DTYPES.get(field["dtype"])
    if dtype is None or layout not in ("CHW", "HWC") or field["compression"] not in ("NONE", "ZSTD"):
        raise ValueError(
            f"tensor: {field['dtype']}, {layout}, {field['compression']} "
            "(expected: a version of this reader that knows them)"
        )
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > max_elements:
        raise ValueError(
            f"tensor: {len(shape)} axes, the first {shape[:3]} "
            f"(expected: 3 of at least 1, at most {max_elements} elements)"
        )
    size = math.prod(shape) * dtype.itemsize
    data = _here("tensor", field)
    if field["compression"] != "NONE":
        data = _unzstd(data, size)
    if len(data) != size:
        raise ValueError(f"tensor: {len(data)} bytes (expected: {size} for {field['dtype']} of {shape})")
    tensor = np.frombuffer(data, dtype).reshape(shape)
    if layout == "HWC":
        tensor = tensor.transpose(2, 0, 1)
    tensor = tensor.astype(np.float32)
    if field["dtype"] == "INT8":
        scales, zero_points = field["scales"], field["zeroPoints"]
        if len(scales) not in (1, len(tensor)) or len(zero_points) != len(scales):
            raise ValueError(
                f"tensor: {len(scales)} scales and {len(zero_points)} zero points "
                f"(expected: 1 or {len(tensor)} of each)"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # a scale may be infinite or NaN
            tensor -= np.array(zero_points, np.float32).reshape(-1, 1, 1)
            tensor *= np.array(scales, np.float32).reshape(-1, 1, 1)
    return tensor


def to_frame(record: Record, x: Any, y: Any) -> tuple[Any, Any]:
    """From the output grid to the frame, in pixel edges: the middle of column i is x = i + 0.5.

    ValueError: the record does not say where on the frame its grid is.
    """
    geometry = _field(record, "header")["geometry"]
    if geometry is None:
        raise ValueError("record: no geometry (expected: a result)")
    return (
        np.multiply(x, geometry["scaleX"]) + geometry["offsetX"],
        np.multiply(y, geometry["scaleY"]) + geometry["offsetY"],
    )


def _field(record: Record, name: str) -> Any:
    if name not in record:
        raise ValueError(f"record: no {name} (expected: a record of a topic that has it)")
    return record[name]


def _mask(field: Record, max_pixels: int) -> np.ndarray:
    data, width, height = _here("mask", field), field["width"], field["height"]
    if width < 1 or height < 1 or width * height > max_pixels:
        raise ValueError(
            f"mask: {width} x {height} pixels (expected: at least 1 x 1, at most {max_pixels} in all)"
        )
    if field["encoding"] == "RLE":
        pixels = _runs(data, width * height)
    elif field["encoding"] == "PNG":
        pixels = _png(data, width, height)
    elif field["encoding"] == "RAW_ZSTD":
        pixels = np.frombuffer(_unzstd(data, width * height), np.uint8)
    else:
        raise ValueError(f"mask: {field['encoding']} (expected: a version of this reader that knows it)")
    return pixels.reshape(height, width)


def _runs(data: bytes, size: int) -> np.ndarray:
    """Label, length as LEB128, label, length and so on."""
    found, lengths, filled = bytearray(), array("q"), 0
    rest = iter(data)
    for label in rest:
        length = shift = 0
        for byte in rest:
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or shift == 7 * _MAX_VARINT:
                break
        if shift == 0 or byte >= 0x80:
            raise ValueError(
                "mask: a run without the end of its length "
                f"(expected: a varint of at most {_MAX_VARINT} bytes)"
            )
        if not 1 <= length <= size - filled:
            raise ValueError(
                f"mask: a run of {length} pixels after {filled} of {size} (expected: 1 to what is left)"
            )
        found.append(label)
        lengths.append(length)
        filled += length
    if filled != size:
        raise ValueError(f"mask: runs of {filled} pixels (expected: {size})")
    return np.repeat(np.frombuffer(found, np.uint8), lengths)


def _png(data: bytes, width: int, height: int) -> np.ndarray:
    try:
        from PIL import Image  # an extra: few topics need it
    except ModuleNotFoundError as error:
        raise ValueError("mask: PNG (expected: Pillow, which uplift-records[png] installs)") from error
    try:
        _check_png(data, width, height)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode != "L" or image.size != (width, height):  # a second header
                raise ValueError(f"{image.mode} of {image.size}")
            return np.asarray(image).reshape(-1)
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        raise ValueError(
            f"mask: {len(data)} bytes that are no such file "
            f"(expected: a PNG of {width} x {height}, 8-bit greyscale, not interlaced)"
        ) from error


def _check_png(data: bytes, width: int, height: int) -> None:
    """What Pillow is lenient about: every chunk is whole, and there are as many pixels as there should be."""
    header = struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 0, 0, 0, 0)
    if not data.startswith(b"\x89PNG\r\n\x1a\n" + header):
        raise ValueError("another header")
    at, kind, deflated = 8, b"", bytearray()
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if struct.unpack_from(">I", data, at + 8 + length)[0] != zlib.crc32(body, zlib.crc32(kind)):
            raise ValueError("a damaged chunk")
        if kind == b"IDAT":
            deflated += body
        at += 12 + length
    size = (width + 1) * height
    if len(zlib.decompressobj().decompress(deflated, size + 1)) != size:
        raise ValueError("other pixels")


def _unzstd(data: bytes, size: int) -> bytes:
    """Exactly so many bytes out of one zstd frame; never allocates more, whatever the frame claims."""
    try:
        claimed = zstandard.frame_content_size(data)
        if claimed not in (-1, size):  # -1: the frame does not say
            raise ValueError(f"zstd: a frame of {claimed} bytes (expected: {size})")
        found = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(
            data, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error} (expected: one frame of {size} bytes)") from error
    if len(found) != size:
        raise ValueError(f"zstd: {len(found)} bytes (expected: {size})")
    return found
