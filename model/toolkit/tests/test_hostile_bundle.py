"""A bundle's author chose every byte of it: nothing outside it is read, and what is used was hashed."""

import hashlib
import json
import os

import numpy as np
import pytest

from uplift_toolkit.bundle import FORMAT, MAX_MANIFEST, Bundle, BundleError

FRAMES = bytes(range(24))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def directory(tmp_path):
    """A bundle of two golden frames of 2 x 2, and a secret beside it."""
    directory = tmp_path / "bundle"
    (directory / "golden").mkdir(parents=True)
    (directory / "golden/frames.bin").write_bytes(FRAMES)
    (tmp_path / "secret").write_bytes(FRAMES)
    write(directory)
    return directory


def write(directory, **changes):
    manifest = {
        "format": FORMAT,
        "input": {"width": 2, "height": 2},
        "golden": {"count": 2, "frames": "golden/frames.bin"},
        "heads": [],
        "variants": [],
        "files": {"golden/frames.bin": digest(FRAMES)},
    }
    (directory / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def refused(directory, message):
    with pytest.raises(BundleError, match=message):
        Bundle.load(directory)


def test_what_is_whole_is_read(directory):
    bundle = Bundle.load(directory)
    assert bundle.sha256 == digest((directory / "manifest.json").read_bytes())
    np.testing.assert_array_equal(bundle.frames().ravel(), np.arange(24))


def test_names_that_lead_out(directory):
    secret = directory.parent / "secret"
    (directory / "link").symlink_to(secret)
    (directory / "up").symlink_to(directory.parent)
    names = ("../secret", str(secret), "link", "up/secret", "golden/../../secret", "..", ".", "", "a\\b")
    for name in names:
        write(directory, files={name: digest(FRAMES)})
        refused(directory, r"leads out of .* \(expected: a file of the bundle\)")
        write(directory, golden={"count": 2, "frames": name})
        with pytest.raises(BundleError, match=r"leads out of"):
            Bundle.load(directory).frames()


def test_a_link_inside_is_a_file(directory):
    (directory / "again.bin").symlink_to("golden/frames.bin")
    write(directory, files={"again.bin": digest(FRAMES)})
    assert Bundle.load(directory).read("again.bin") == FRAMES


def test_files_that_the_manifest_does_not_list(directory):
    (directory / "more.bin").write_bytes(FRAMES)
    write(directory, golden={"count": 2, "frames": "more.bin"})
    with pytest.raises(BundleError, match=r"more.bin: not a file that the manifest lists"):
        Bundle.load(directory).frames()


def test_what_was_hashed_is_what_is_used(directory):
    bundle = Bundle.load(directory)
    (directory / "golden/frames.bin").write_bytes(FRAMES[::-1])
    with pytest.raises(BundleError, match=r"frames.bin: SHA-256 .* \(expected: "):
        bundle.frames()


@pytest.mark.parametrize("wrong", ["", None, 7, digest(FRAMES).upper()])
def test_hashes_that_are_none(directory, wrong):
    write(directory, files={"golden/frames.bin": wrong})
    refused(directory, r"frames.bin: SHA-256 [0-9a-f]{64} \(expected: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 5000 + b"]" * 5000, r"expected: JSON"),
        (b"{", r"expected: JSON"),
        (b"\xff", r"expected: JSON"),
        (b'{"a": 1' + 5000 * b"0" + b"}", r"expected: JSON"),
        (
            b'{"format": "uplift-bundle/1", "format": "uplift-bundle/1"}',
            r"'format' comes twice \(expected: JSON",
        ),
        (b'{"format": "uplift-bundle/1", "files": {"a": "", "a": ""}}', r"'a' comes twice"),
        (b"[]", r"format 'list'"),
        (b'{"format": "uplift-bundle/1"}', r"no files \(expected: "),
        (b'{"format": "uplift-bundle/1", "files": ["a"]}', r"no files \(expected: "),
        (b" " * (MAX_MANIFEST + 1), r"more than 1048576 bytes"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else None,
)
def test_manifests(directory, text, message):
    (directory / "manifest.json").write_bytes(text)
    refused(directory, message)


@pytest.mark.parametrize("entry", ["input", "heads", "variants", "golden"])
def test_entries_that_are_missing_or_something_else(directory, entry):
    for other in (None, 7, "a"):
        write(directory, **{entry: other})
        refused(directory, rf"manifest.json: no {entry} \(expected: ")
    write(directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest[entry]
    (directory / "manifest.json").write_text(json.dumps(manifest))
    refused(directory, rf"manifest.json: no {entry} \(expected: ")


@pytest.mark.parametrize("entry", ["heads", "variants"])
def test_entries_without_names(directory, entry):
    for each in ({}, 7):
        write(directory, **{entry: [each]})
        refused(directory, rf"manifest.json: {entry} without names \(expected: ")


def test_what_is_no_file(directory):
    """A pipe would never end."""
    os.mkfifo(directory / "pipe")
    write(directory, files={"pipe": digest(b"")})
    refused(directory, r"pipe: SHA-256 no such file")
    (directory / "manifest.json").unlink()
    os.mkfifo(directory / "manifest.json")
    refused(directory, r"manifest.json: no such file")


def test_a_variant_whose_name_leads_out_deletes_nothing(directory):
    write(directory, variants=[{"name": ".."}])
    with pytest.raises(BundleError, match=r"'..' leads out of"):
        Bundle.load(directory).without("..")
    with pytest.raises(BundleError, match=r"variant: '../secret' \(expected one of"):
        Bundle.load(directory).without("../secret")
    assert (directory.parent / "secret").is_file()
