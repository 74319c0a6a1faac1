"""A dense model described by one YAML file: backbone, upsampler and heads.

    name: street
    version: 0.1.0
    description: one sentence for whoever finds the bundle
    license: Apache-2.0
    input: {width: 320, height: 192, fit: stretch, maxBatch: 8}
    backbone:
      vit: {patch: 8, dim: 128, depth: 5, heads: 4, grid: [24, 40], …}   # or a name from vit.MODELS
      # or timm: {name: vit_small_plus_patch16_dinov3, dim: 384, patch: 16, size: [192, 320]}
      # weights: FILE, https://… or hub:OWNER/NAME/FILE, and sha256: …     # instead of backbone.safetensors
    upsampler:                                                           # may have weights and sha256, too
      steps: 3
      uplift: {neighbours: 17, encoder: [16, 32, 32, 64, 64], decoder: 32}   # or config: FILE (authors' keys)
    heads:
      - {name: segmentation, kind: segmentation, channels: 19, stride: 1, confidence: true}
    labels: cityscapes                                                   # or a labels.json beside the file

Its weights are three files in one directory: backbone, upsampler and heads .safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from uplift_toolkit.checkpoints import load_vit
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.timm_backbone import TimmBackbone, TimmConfig
from uplift_toolkit.uplift import Uplift, resize, uplift_config
from uplift_toolkit.vit import MODELS, ViT, ViTConfig
from uplift_toolkit.weights import load_strict, locate, read_state_dict

CITYSCAPES: list[tuple[str, str]] = [
    ("road", "#804080"),
    ("sidewalk", "#f423e8"),
    ("building", "#464646"),
    ("wall", "#66669c"),
    ("fence", "#be9999"),
    ("pole", "#999999"),
    ("traffic light", "#faaa1e"),
    ("traffic sign", "#dcdc00"),
    ("vegetation", "#6b8e23"),
    ("terrain", "#98fb98"),
    ("sky", "#4682b4"),
    ("person", "#dc143c"),
    ("rider", "#ff0000"),
    ("car", "#00008e"),
    ("truck", "#000046"),
    ("bus", "#003c64"),
    ("train", "#005064"),
    ("motorcycle", "#0000e6"),
    ("bicycle", "#770b20"),
]


@dataclass(frozen=True)
class InputConfig:
    """The size every frame is fitted to, in pixels, and the largest batch."""

    width: int
    height: int
    fit: str = "stretch"
    maxBatch: int = 8  # noqa: N815 - the manifest's key

    def __post_init__(self) -> None:
        if self.fit not in ("stretch", "letterbox"):
            raise ValueError(f"input.fit: {self.fit!r} (expected: stretch or letterbox)")
        if self.maxBatch < 1:
            raise ValueError(f"input.maxBatch: {self.maxBatch} (expected: >= 1)")


@dataclass(frozen=True)
class ModelConfig:
    """The parsed YAML file; `uplift` holds the authors' keys whichever way the file gave them."""

    name: str
    version: str
    description: str
    license: str
    input: InputConfig
    vit: ViTConfig | TimmConfig
    steps: int
    uplift: dict[str, Any]
    heads: list[HeadConfig]
    labels: list[dict[str, Any]]
    weights: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # part to source and sha256

    def __post_init__(self) -> None:
        patch = self.vit.patch
        if self.input.width % patch or self.input.height % patch:
            raise ValueError(
                f"input: {self.input.width}x{self.input.height} (expected: multiples of the patch, {patch})"
            )
        names = [head.name for head in self.heads]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"heads: {names} (expected: at least one, each with its own name)")
        for head in self.heads:
            if head.kind == "segmentation" and head.channels != len(self.labels):
                raise ValueError(
                    f"head {head.name}: {head.channels} classes (expected: {len(self.labels)} labels)"
                )
            self.step_of(head)

    def step_of(self, head: HeadConfig) -> int:
        """The first upsampling step whose grid has at least the head's resolution; 0 is the backbone's."""
        patch = 16 if self.vit.patch == 14 else self.vit.patch  # see uplift.encoder_image
        for step in range(self.steps + 1):
            if patch <= head.stride << step:
                return step
        raise ValueError(
            f"head {head.name}: stride {head.stride} (expected with patch {self.vit.patch} and "
            f"{self.steps} steps: >= {patch >> self.steps})"
        )

    def size_of(self, head: HeadConfig) -> tuple[int, int]:
        """Height and width of the head's output."""
        return self.input.height // head.stride, self.input.width // head.stride

    @staticmethod
    def load(path: Path) -> ModelConfig:
        """Reads the YAML file; ValueError says which entry is missing or wrong."""
        values = yaml.safe_load(path.read_text())
        try:
            backbone, upsampler = values["backbone"], values["upsampler"]
            vit: ViTConfig | TimmConfig
            if "timm" in backbone:
                vit = TimmConfig(**backbone["timm"])
            elif isinstance(backbone["vit"], str):
                vit = MODELS[backbone["vit"]]
            else:
                vit = ViTConfig(**backbone["vit"])
            if "config" in upsampler:
                uplift = yaml.safe_load((path.parent / upsampler["config"]).read_text())
            else:
                uplift = uplift_config(vit.dim, vit.patch, **upsampler["uplift"])
            return ModelConfig(
                name=values["name"],
                version=str(values["version"]),
                description=values["description"],
                license=values["license"],
                input=InputConfig(**values["input"]),
                vit=vit,
                steps=int(upsampler["steps"]),
                uplift=uplift,
                heads=[HeadConfig.from_dict(head) for head in values["heads"]],
                labels=_labels(values["labels"], path.parent),
                weights={
                    part: (_source(values[part]["weights"], path.parent), values[part].get("sha256"))
                    for part in ("backbone", "upsampler")
                    if "weights" in values[part]
                },
            )
        except KeyError as e:
            raise ValueError(f"{path}: {e.args[0]!r} is missing or unknown") from e
        except (TypeError, ValueError) as e:
            raise ValueError(f"{path}: {e}") from e


def _source(weights: str, directory: Path) -> str:
    """A relative file is meant from the configuration's directory."""
    return weights if weights.startswith(("hub:", "https://", "http://")) else str(directory / weights)


def _labels(source: str, directory: Path) -> list[dict[str, Any]]:
    if source == "cityscapes":
        return [{"id": i, "name": name, "color": color} for i, (name, color) in enumerate(CITYSCAPES)]
    return json.loads((directory / source).read_text())


PARTS = ("backbone", "upsampler", "heads")


class DenseModel(nn.Module):
    """The readable model: normalised images [N,3,H,W] to every head's map, by name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ViT(config.vit) if isinstance(config.vit, ViTConfig) else TimmBackbone(config.vit)
        self.upsampler = Uplift(config.uplift)
        self.heads = nn.ModuleDict({head.name: LinearHead(config.vit.dim, head) for head in config.heads})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Class logits, projections or quantities [N,K,H/stride,W/stride] in float."""
        features = self.backbone(images)
        grids = [features, *self.upsampler(images, features, self.config.steps)]
        return {
            head.name: resize(
                self.heads[head.name](grids[self.config.step_of(head)]), self.config.size_of(head)
            )
            for head in self.config.heads
        }

    @staticmethod
    def load(config: ModelConfig, directory: Path, parts: Sequence[str] = PARTS) -> DenseModel:
        """The model with the weights of `parts`: from the sources that the configuration names, else from the
        directory's files.

        WeightsError names tensors that are missing, surplus or of another shape.
        """
        model = DenseModel(config).eval()
        for part in parts:
            source, sha256 = config.weights.get(part, (str(directory / f"{part}.safetensors"), None))
            state = read_state_dict(locate(source, sha256))
            module = getattr(model, part)
            if isinstance(module, TimmBackbone):
                module.load(state, source)
            elif isinstance(module, ViT):
                load_vit(module, state, source)
            else:
                load_strict(module, state, source)
        return model
