"""A bundle on disk: what its manifest says, and that it holds."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from conftest import frames

from uplift_toolkit.bundle import VARIANTS, Bundle, BundleError


def test_manifest(bundle):
    manifest = dict(bundle.manifest)
    files = manifest.pop("files")
    assert manifest == {
        "format": "uplift-bundle/1",
        "name": "small",
        "version": "1.2.3",
        "description": "A model for tests.",
        "license": "Apache-2.0",
        "input": {"width": 40, "height": 24, "fit": "letterbox", "maxBatch": 3},
        "backbone": {"kind": "vit", "channels": 16, "patch": 8},
        "upsampler": {"kind": "uplift", "steps": 3, "neighbours": 17},
        "heads": [
            {
                "name": "classes",
                "kind": "segmentation",
                "channels": 19,
                "width": 40,
                "height": 24,
                "stride": 1,
                "dtype": "uint8",
                "confidence": True,
            },
            {
                "name": "features",
                "kind": "features",
                "channels": 5,
                "width": 10,
                "height": 6,
                "stride": 4,
                "dtype": "float16",
            },
            {
                "name": "depth",
                "kind": "regression",
                "channels": 1,
                "width": 20,
                "height": 12,
                "stride": 2,
                "dtype": "float16",
                "unit": "m",
            },
            {
                "name": "coarse",
                "kind": "segmentation",
                "channels": 19,
                "width": 5,
                "height": 3,
                "stride": 8,
                "dtype": "uint8",
                "confidence": False,
            },
        ],
        "variants": [
            {
                "name": name,
                "device": name[:-5],
                "precision": name[-4:],
                "backbone": f"{name}/backbone.pt",
                "upsampler": f"{name}/upsampler.pt",
            }
            for name in ("cpu-fp32", "cpu-bf16", "cuda-fp16")
        ],
        "labels": "labels.json",
        "golden": {
            "frames": "golden/frames.bin",
            "count": 2,
            "outputs": {name: f"golden/{name}.bin" for name in ("classes", "features", "depth", "coarse")},
            "tolerance": {
                "fp32": {"labelAgreement": 0.999, "cosine": 0.999},
                "bf16": {"labelAgreement": 0.99, "cosine": 0.999},
                "fp16": {"labelAgreement": 0.99, "cosine": 0.999},
                "int8": {"labelAgreement": 0.99, "cosine": 0.999},
            },
        },
    }
    directory = bundle.directory
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert set(files) == present - {"manifest.json", "README.md"}
    for name, sha256 in files.items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == sha256
    assert bundle.sha256 == hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    assert json.loads((directory / "labels.json").read_text())[0] == {
        "id": 0,
        "name": "road",
        "color": "#804080",
    }


def test_card(bundle):
    card = (bundle.directory / "README.md").read_text()
    assert "| depth | regression | 1 | 20 x 12 | m |" in card
    assert card.endswith("Made by a test.\n")


@pytest.mark.parametrize("variant", [v.name for v in VARIANTS if v.device == "cpu"])
def test_golden_case(bundle, variant):
    report = bundle.verify(variant)
    assert set(report) == {"classes", "features", "depth", "coarse"}
    assert all(value >= 0.99 for value in report.values())


def test_golden_case_that_does_not_agree(bundle, tmp_path):
    copy = Bundle(shutil.copytree(bundle.directory, tmp_path / "copy"), bundle.manifest, "")
    golden = copy.directory / "golden" / "depth.bin"
    np.random.default_rng(0).standard_normal(2 * 12 * 20).astype(np.float16).tofile(golden)
    with pytest.raises(BundleError, match=r"cpu-fp32, head depth: agreement .* \(expected: >= 0.999\)"):
        copy.verify("cpu-fp32")


def test_no_frame_of_the_golden_case_may_disagree(bundle, tmp_path, monkeypatch):
    """As in the JVM. The other frame's numbers are so much larger that both as one vector would agree."""
    copy = Bundle(shutil.copytree(bundle.directory, tmp_path / "copy"), bundle.manifest, "")
    outputs = copy.run("cpu-fp32", copy.frames())
    depth = np.stack([np.ones((1, 12, 20)), np.full((1, 12, 20), 1e4)]).astype(np.float16)
    depth.tofile(copy.directory / "golden" / "depth.bin")
    outputs[3] = depth.copy()
    outputs[3][0, :, :6] = 0
    monkeypatch.setattr(Bundle, "load_variant", lambda *_: lambda frames: outputs)
    with pytest.raises(BundleError, match=r"head depth: agreement 0.707107 \(expected: >= 0.999\)"):
        copy.verify("cpu-fp32")


def test_changed_and_missing_files_are_found(bundle, tmp_path):
    copy = shutil.copytree(bundle.directory, tmp_path / "copy")
    (copy / "labels.json").write_text("[]")
    with pytest.raises(BundleError, match=r"labels.json: SHA-256 .* \(expected: "):
        Bundle.load(copy)
    (copy / "labels.json").unlink()
    with pytest.raises(BundleError, match=r"labels.json: SHA-256 no such file"):
        Bundle.load(copy)
    (copy / "manifest.json").write_text('{"format": "uplift-bundle/9"}')
    with pytest.raises(BundleError, match=r"format 'uplift-bundle/9' \(expected: 'uplift-bundle/1'\)"):
        Bundle.load(copy)
    with pytest.raises(BundleError, match=r"manifest\.json: no such file"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("entry", ["golden.frames", "golden.count", "input.width", "variants.0.backbone"])
def test_a_missing_entry_is_named(bundle, tmp_path, entry):
    copy = shutil.copytree(bundle.directory, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    *path, name = entry.split(".")
    within = manifest
    for key in path:
        within = within[int(key) if key.isdigit() else key]
    del within[name]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=rf"manifest\.json: no '{name}' beside \["):
        Bundle.load(copy).verify("cpu-fp32")


def test_a_file_that_is_no_graph(bundle, tmp_path):
    copy = Bundle(shutil.copytree(bundle.directory, tmp_path / "copy"), bundle.manifest, "")
    (copy.directory / "cpu-fp32" / "backbone.pt").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"cpu-fp32/backbone.pt: .* \(expected: TorchScript\)"):
        copy.verify("cpu-fp32")


def test_unknown_variant(bundle):
    with pytest.raises(BundleError, match=r"variant: 'tpu' \(expected one of \['cpu-fp32',"):
        bundle.run("tpu", frames(1))
