"""Payloads that are elsewhere: found where the reader was told, verified, and nowhere else."""

import hashlib
import io
import sys

import fastavro
import numpy as np
import pytest
from test_records import value

import uplift_records

DAY = "2026-03-01"


def referring(name: str, holder: str, directory=None, **other) -> bytes:
    """A golden record whose payload went to a directory."""
    record = uplift_records.read(value(name))
    data = record[holder]["data"]
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{DAY}/{sha256[:2]}/{sha256}"
    if directory is not None:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    record[holder]["data"] = b""
    record[holder]["reference"] = {"uri": f"s3://b/{path}", "length": len(data), "sha256": sha256} | other
    return encode(name, record)


def encode(name: str, record) -> bytes:
    header = value(name)[:10]
    out = io.BytesIO(header)
    out.seek(10)
    fastavro.schemaless_writer(out, uplift_records._schemas()[header], record)
    return out.getvalue()


def test_payloads_come_back(tmp_path):
    bytes_ = referring("depth", "tensor", tmp_path)
    expected = uplift_records.read(value("depth"))
    for claims in (tmp_path, str(tmp_path), lambda name: (tmp_path / name).open("rb")):
        assert uplift_records.read(bytes_, claims=claims) == expected
    bytes_ = referring("segmentation-zstd", "mask", tmp_path)
    record = uplift_records.read(bytes_, claims=tmp_path)
    np.testing.assert_array_equal(
        uplift_records.labels(record), uplift_records.labels(uplift_records.read(value("segmentation-zstd")))
    )


def test_an_original_comes_back(tmp_path):
    failure = uplift_records.read(value("failure"))
    original = failure["original"]
    sha256 = hashlib.sha256(original).hexdigest()
    file = tmp_path / DAY / sha256[:2] / sha256
    file.parent.mkdir(parents=True)
    file.write_bytes(original)
    uri = f"file:{file}"
    failure |= {
        "original": None,
        "originalReference": {"uri": uri, "length": len(original), "sha256": sha256},
    }
    assert uplift_records.read(encode("failure", failure), claims=tmp_path)["original"] == original


def test_without_claims_the_record_says_where_it_is():
    record = uplift_records.read(referring("depth", "tensor"))
    with pytest.raises(ValueError, match=r"its 384 bytes are at s3://b/2026-03-01/.*claims=DIRECTORY"):
        uplift_records.values(record)
    record = uplift_records.read(referring("segmentation-rle", "mask"))
    with pytest.raises(ValueError, match="mask: its"):
        uplift_records.labels(record)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        f"s3://b/{DAY}/ab/../../../etc/passwd",
        f"s3://b/{DAY}/cd/" + "ab" * 32,
        f"s3://b/{DAY}/ab/" + "ab" * 32 + "\n",
        f"s3://b/{DAY}/ab/" + "ab" * 32 + "?",
        f"s3://b/٢026-03-01/ab/{'ab' * 32}",
    ],
)
def test_no_uri_leads_elsewhere(uri):
    def refusing(name):
        raise AssertionError(name)

    with pytest.raises(ValueError, match="expected: a URI that ends in a day"):
        uplift_records.read(referring("depth", "tensor", uri=uri, sha256="ab" * 32), claims=refusing)


def test_what_is_missing_short_long_or_other_is_said(tmp_path):
    bytes_ = referring("depth", "tensor", tmp_path)
    (file,) = tmp_path.glob("*/*/*")
    size = file.stat().st_size
    for data, found in ((bytes(size), "other"), (b"short", "5"), (bytes(size + 9), "more")):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=f"holds {found} bytes .expected: 384 of this SHA-256"):
            uplift_records.read(bytes_, claims=tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match=r"cannot be read: .*No such file") as error:
        uplift_records.read(bytes_, claims=tmp_path)
    assert isinstance(error.value.__cause__, OSError)
    with pytest.raises(ValueError, match="at most 10"):
        uplift_records.read(bytes_, claims=tmp_path, max_payload=10)


def test_a_url_goes_to_fsspec(tmp_path, monkeypatch):
    bytes_ = referring("depth", "tensor", tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ValueError, match="fsspec is not installed"):
        uplift_records.read(bytes_, claims="s3://bucket/claims")
    monkeypatch.undo()
    pytest.importorskip("fsspec")
    assert uplift_records.read(bytes_, claims=f"file://{tmp_path}/")["unit"] == "m"
