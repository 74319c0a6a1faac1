"""The model bundle: a directory that a JVM (or Python) can serve from, described by manifest.json.

The bundle's identity is the SHA-256 of the manifest's bytes; the manifest holds that of every other file
(manifest.json and README.md excepted).
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uplift_toolkit.downloads import digest
from uplift_toolkit.model import ModelConfig
from uplift_toolkit.upsamplers import UPLIFT

FORMAT = "uplift-bundle/1"
MAX_MANIFEST = 1 << 20  # bytes
ENTRIES = (
    ("files", dict, "the SHA-256 of each by its name"),
    ("input", dict, "the size of the images"),
    ("heads", list, "the outputs, in their order"),
    ("variants", list, "the graphs for each device and precision"),
    ("golden", dict, "images and what each head gives for them"),
)
"""Of a manifest: name, type and meaning."""
TOLERANCE = {
    "fp32": {"labelAgreement": 0.999, "cosine": 0.999},
    "bf16": {"labelAgreement": 0.99, "cosine": 0.999},
    "fp16": {"labelAgreement": 0.99, "cosine": 0.999},
    "int8": {"labelAgreement": 0.99, "cosine": 0.999},
}


class BundleError(ValueError):
    """One sentence: what was found, and what was expected."""


@dataclass(frozen=True)
class Variant:
    """TorchScript for one kind of device, cpu or cuda, at one precision: fp32, bf16 or fp16. With `int8` the
    upsampler convolves integers, and all else is fp32."""

    device: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.device}-{self.precision}"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the maps, or of those that stay floats."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)

    def manifest(self) -> dict[str, str]:
        backbone = f"{self.device}-fp32" if self.precision == "int8" else self.name
        files = {"backbone": f"{backbone}/backbone.pt", "upsampler": f"{self.name}/upsampler.pt"}
        return {"name": self.name, "device": self.device, "precision": self.precision, **files}


VARIANTS = (Variant("cpu", "fp32"), Variant("cpu", "bf16"), Variant("cuda", "fp16"))
INT8 = Variant("cpu", "int8")


def manifest_of(config: ModelConfig, golden: int, variants: Sequence[Variant]) -> dict[str, object]:
    """Everything in manifest.json but the files' hashes."""
    heads = []
    for head in config.heads:
        height, width = config.size_of(head)
        entry: dict[str, object] = {"name": head.name, "kind": head.kind, "channels": head.channels}
        entry |= {"width": width, "height": height, "stride": head.stride}
        entry["dtype"] = "uint8" if head.kind == "segmentation" else head.dtype
        if head.kind == "segmentation":
            entry["confidence"] = head.confidence
        if head.unit is not None:
            entry["unit"] = head.unit
        heads.append(entry)
    return {
        "format": FORMAT,
        "name": config.name,
        "version": config.version,
        "description": config.description,
        "license": config.license,
        "input": vars(config.input),
        "backbone": {"kind": "vit", "channels": config.backbone.dim, "patch": config.backbone.patch},
        "upsampler": _upsampler(config),
        "heads": heads,
        "variants": [variant.manifest() for variant in variants],
        "labels": "labels.json",
        "golden": {
            "frames": "golden/frames.bin",
            "count": golden,
            "outputs": {head.name: f"golden/{head.name}.bin" for head in config.heads},
            "tolerance": TOLERANCE,
        },
    }


def _upsampler(config: ModelConfig) -> dict[str, object]:
    if config.kind != UPLIFT:
        return {"kind": config.kind}
    return {"kind": UPLIFT, "steps": config.steps, "neighbours": config.uplift["uplift"]["attender"]}


def write_manifest(directory: Path, manifest: dict[str, Any]) -> str:
    """Adds the hash of every file that the manifest names, writes manifest.json and returns the bundle's
    SHA-256."""
    graphs = [part for entry in manifest["variants"] for part in (entry, entry.get("operators", {}))]
    golden = manifest["golden"]
    names = {manifest["labels"], golden["frames"], *golden["outputs"].values()}
    names |= {graph[part] for graph in graphs for part in ("backbone", "upsampler") if part in graph}
    hashes = {name: digest(directory / name) for name in sorted(names)}
    target = directory / "manifest.json"
    target.write_text(json.dumps({**manifest, "files": hashes}, indent=2) + "\n")
    return digest(target)


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, its manifest read and every file's hash checked.

    A file that is used later is read once more, and whole: its hash is that of the bytes that are used. A
    draft, whose `sha256` is still empty, has no hashes.
    """

    directory: Path
    manifest: dict[str, Any]
    sha256: str

    @staticmethod
    def load(directory: Path) -> Bundle:
        path = directory / "manifest.json"
        if not path.is_file():
            raise BundleError(f"{path}: no such file (expected: the manifest of a bundle)")
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST + 1)
        if len(text) > MAX_MANIFEST:
            raise BundleError(f"{path}: more than {MAX_MANIFEST} bytes (expected: at most)")
        try:
            manifest = json.loads(text.decode(), object_pairs_hook=_object)
        except (ValueError, RecursionError) as e:
            raise BundleError(f"{path}: {e} (expected: JSON)") from e
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
            raise BundleError(f"{path}: format {found!r} (expected: {FORMAT!r})")
        for entry, kind, expected in ENTRIES:
            if not isinstance(manifest.get(entry), kind):
                raise BundleError(f"{path}: no {entry} (expected: {expected})")
        for entry in ("heads", "variants"):
            if not all(isinstance(each, dict) and "name" in each for each in manifest[entry]):
                raise BundleError(f"{path}: {entry} without names (expected: each with its name)")
        bundle = Bundle(directory, manifest, hashlib.sha256(text).hexdigest())
        for name in manifest["files"]:
            bundle.read(name)
        return bundle

    def read(self, name: str) -> bytes:
        """A file's content, of which the manifest has the hash; BundleError for any other."""
        file = self._inside(name)
        content = file.read_bytes() if file.is_file() else None
        if self.sha256:
            if name not in self.manifest["files"]:
                raise BundleError(f"{file}: not a file that the manifest lists (expected: with its SHA-256)")
            expected = self.manifest["files"][name]
            found = "no such file" if content is None else hashlib.sha256(content).hexdigest()
            if found != expected:
                raise BundleError(f"{file}: SHA-256 {found} (expected: {expected})")
        if content is None:
            raise BundleError(f"{file}: no such file (expected: a file of the bundle)")
        return content

    def _inside(self, name: str) -> Path:
        """The path of a name in the manifest, which may not lead out by its text or by a link."""
        path, home = self.directory / name, self.directory.resolve()
        plain = name and not Path(name).is_absolute() and ".." not in Path(name).parts and "\\" not in name
        if not plain or home not in path.resolve().parents:
            raise BundleError(f"{name!r} leads out of {self.directory} (expected: a file of the bundle)")
        return path

    def frames(self) -> np.ndarray:
        """The golden frames, u8 [count,H,W,3]."""
        size = self.manifest["input"]
        shape = (self.manifest["golden"]["count"], size["height"], size["width"], 3)
        return np.frombuffer(self.read(self.manifest["golden"]["frames"]), np.uint8).reshape(shape).copy()

    def load_variant(
        self, variant: str, backbone_of: str | None = None, operators: bool = False
    ) -> Callable[[np.ndarray], list[np.ndarray]]:
        """The variant's TorchScript as a function of u8 frames [N,H,W,3], as the JVM would see it.

        The backbone is another variant's if `backbone_of` names that. With `operators` the upsampler is the
        one that calls them, on the CPU, whatever the variant's device.
        """
        entry = self._entry(variant)
        device = "cpu" if operators else entry["device"]
        upsampler_file = (entry["operators"] if operators else entry)["upsampler"]
        files = self._entry(backbone_of or variant)["backbone"], upsampler_file
        backbone, upsampler = (self._graph(file, device) for file in files)

        def infer(frames: np.ndarray) -> list[np.ndarray]:
            pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
            with torch.inference_mode():
                return [output.cpu().numpy() for output in upsampler(pixels, backbone(pixels))]

        return infer

    def _graph(self, file: str, device: str) -> torch.jit.ScriptModule:
        try:
            return torch.jit.load(io.BytesIO(self.read(file)), map_location=device)
        except RuntimeError as e:
            what = str(e).strip().partition("\n")[0]
            raise BundleError(f"{self.directory / file}: {what} (expected: TorchScript)") from e

    def _entry(self, variant: str) -> dict[str, str]:
        entry = next((v for v in self.manifest["variants"] if v["name"] == variant), None)
        if entry is None:
            names = [v["name"] for v in self.manifest["variants"]]
            raise BundleError(f"variant: {variant!r} (expected one of {names})")
        return entry

    def run(self, variant: str, frames: np.ndarray, backbone_of: str | None = None) -> list[np.ndarray]:
        """What `load_variant` gives for these frames."""
        return self.load_variant(variant, backbone_of)(frames)

    def outputs_by_head(self, outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The first tensor of every head: labels of a segmentation, not its confidence."""
        remaining = iter(outputs)
        named = {}
        for head in self.manifest["heads"]:
            named[head["name"]] = next(remaining)
            if head.get("confidence"):
                next(remaining)
        return named

    def verify(
        self, variant: str, backbone_of: str | None = None, operators: bool = False
    ) -> dict[str, float]:
        """Runs the golden case: label agreement, or the least cosine of a frame, per head. BundleError below
        the tolerance."""
        infer = self.load_variant(variant, backbone_of, operators)
        outputs = self.outputs_by_head(infer(self.frames()))
        tolerance = self.manifest["golden"]["tolerance"][self._entry(variant)["precision"]]
        report = {}
        for head in self.manifest["heads"]:
            name, found = head["name"], outputs[head["name"]]
            golden = self.read(self.manifest["golden"]["outputs"][name])
            golden = np.frombuffer(golden, found.dtype).reshape(found.shape)
            if head["kind"] == "segmentation":
                report[name], least = float((found == golden).mean()), tolerance["labelAgreement"]
            else:
                report[name] = min(cosine(*frame) for frame in zip(found, golden, strict=True))
                least = tolerance["cosine"]
            if not report[name] >= least:
                raise BundleError(
                    f"{variant}, head {name}: agreement {report[name]:.6f} (expected: >= {least})"
                )
        return report

    def without_operators(self, variant: str) -> Bundle:
        """The bundle less one variant's graph that calls operators, on disk too."""
        entry = self._entry(variant)
        self._inside(entry["operators"]["upsampler"]).unlink()
        plain = {key: value for key, value in entry.items() if key != "operators"}
        entries = [plain if e["name"] == variant else e for e in self.manifest["variants"]]
        write_manifest(self.directory, {**self.manifest, "variants": entries})
        return Bundle.load(self.directory)

    def without(self, variant: str) -> Bundle:
        """The bundle less one variant, on disk too."""
        shutil.rmtree(self._inside(self._entry(variant)["name"]))
        kept = [entry for entry in self.manifest["variants"] if entry["name"] != variant]
        write_manifest(self.directory, {**self.manifest, "variants": kept})
        return Bundle.load(self.directory)


class _Object(dict):
    """A JSON object that says which of its entries is missing."""

    def __missing__(self, key: str) -> Any:
        raise BundleError(f"manifest.json: no {key!r} beside {sorted(self)} (expected: as export writes it)")


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    """A JSON object; ValueError where a key comes twice, of which each reader may believe another."""
    found = _Object()
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} comes twice")
        found[key] = value
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two arrays taken as one vector each."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
