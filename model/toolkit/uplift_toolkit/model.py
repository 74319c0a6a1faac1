"""A dense model described by one YAML file: backbone, upsampler and heads.

    name: street
    version: 0.1.0
    description: one sentence for whoever finds the bundle
    license: Apache-2.0
    input: {width: 320, height: 192, fit: stretch, maxBatch: 8}
    backbone:
      vit: {patch: 8, dim: 128, depth: 5, heads: 4, grid: [24, 40], …}   # or a name from vit.MODELS
      # or timm: {name: vit_small_patch16_224.dino, dim: 384, patch: 16}
      # mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]                      # of the pixels; else ImageNet's
    upsampler:
      steps: 3
      uplift: {neighbours: 17, encoder: [16, 32, 32, 64, 64], decoder: 32}   # or config: FILE (authors' keys)
      # or another upsampler: {kind: jafar, qk_dim: 128, …}, with its authors' arguments (see upsamplers/)
    heads:
      - {name: segmentation, kind: segmentation, channels: 19, stride: 1, confidence: true}
    labels: cityscapes                                # or ade20k, voc2012, or a labels.json beside the file

Its weights are three files in one directory: backbone, upsampler and heads .safetensors. Backbone, upsampler
and every head may instead name its own: weights (FILE, https://… or hub:OWNER/NAME/FILE) and sha256. An
upsampler whose weights have the name of one of the authors' checkpoints needs no configuration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from uplift_toolkit.checkpoints import load_vit, official_uplift_config
from uplift_toolkit.downloads import locate
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.timm_backbone import TimmBackbone, TimmConfig
from uplift_toolkit.uplift import Uplift, resize, uplift_config
from uplift_toolkit.upsamplers import KINDS, UPLIFT, UPSAMPLERS, Upsampler, upsampler_of
from uplift_toolkit.upsamplers.loftup import LoftUp
from uplift_toolkit.vit import MODELS, ViT, ViTConfig
from uplift_toolkit.weights import State, WeightsError, load_strict, read_state_dict

LABELS = Path(__file__).parent / "labels"  # label sets with a name
# Mean and deviation of the pixels, as the DINO backbones were trained.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
        if not all(isinstance(side, int) and side > 0 for side in self.size):
            raise ValueError(f"input: {self.width}x{self.height} (expected: whole numbers of pixels)")
        if self.maxBatch < 1:
            raise ValueError(f"input.maxBatch: {self.maxBatch} (expected: >= 1)")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


@dataclass(frozen=True)
class ModelConfig:
    """The parsed YAML file; `uplift` holds the authors' keys whichever way the file gave them.

    An upsampler of another `kind` has its authors' arguments in `options`, no `steps` and an empty `uplift`.
    """

    name: str
    version: str
    description: str
    license: str
    input: InputConfig
    backbone: ViTConfig | TimmConfig
    steps: int
    uplift: dict[str, Any]
    heads: list[HeadConfig]
    labels: list[dict[str, Any]]
    weights: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # part to source and sha256
    normalise: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET  # mean and deviation of RGB in 0 to 1
    kind: str = UPLIFT
    options: dict[str, Any] = field(default_factory=dict)
    upsampler_file: str = "upsampler"  # name of its file in the directory of weights, without the suffix

    def __post_init__(self) -> None:
        patch = self.backbone.patch
        if patch < 1:
            raise ValueError(f"backbone: patch {patch} (expected: >= 1)")
        if [len(values) for values in self.normalise] != [3, 3]:
            raise ValueError(f"backbone: mean and std {self.normalise} (expected: three numbers each)")
        if self.input.width % patch or self.input.height % patch:
            raise ValueError(
                f"input: {self.input.width}x{self.input.height} (expected: multiples of the patch, {patch})"
            )
        if self.kind == UPLIFT:
            made_for = (self.uplift["backbone"]["channel"], self.uplift["backbone"]["patch"])
            if made_for != (self.backbone.dim, patch):
                raise ValueError(
                    f"upsampler: for {made_for[0]} channels, patch {made_for[1]} "
                    f"(expected of this backbone: {self.backbone.dim} channels, patch {patch})"
                )
        names = [head.name for head in self.heads]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"heads: {names} (expected: at least one, each with its own name)")
        for head in self.heads:
            if self.input.width % head.stride or self.input.height % head.stride:
                raise ValueError(
                    f"head {head.name}: stride {head.stride} (expected: a divisor of {self.input.width} and "
                    f"{self.input.height})"
                )
            if head.kind == "segmentation" and head.channels != len(self.labels):
                raise ValueError(
                    f"head {head.name}: {head.channels} classes (expected: {len(self.labels)} labels)"
                )
        if self.kind == UPLIFT:
            for head in self.heads:
                self.step_of(head)
        else:
            with torch.device("meta"):
                upsampler = self.other_upsampler()
            for head in self.heads:
                self.size_read(head, upsampler)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the features."""
        return self.input.height // self.backbone.patch, self.input.width // self.backbone.patch

    def of_kind(self, kind: str) -> ModelConfig:
        """The same model with an upsampler of another kind in its published size, whose weights lie beside
        those of the model's own as `upsampler-<kind>`."""
        if kind == self.kind:
            return self
        if kind == UPLIFT:
            raise ValueError(f"upsampler.kind: {self.kind} (expected for uplift: uplift, with its widths)")
        weights = {part: source for part, source in self.weights.items() if part != "upsampler"}
        return replace(self, kind=kind, options={}, weights=weights, upsampler_file=f"upsampler-{kind}")

    def upsampler(self) -> Uplift | Upsampler:
        """The upsampler with initial weights."""
        return Uplift(self.uplift) if self.kind == UPLIFT else self.other_upsampler()

    def other_upsampler(self) -> Upsampler:
        """The upsampler of a kind that is not UPLiFT, with initial weights. No frame of a batch has a part
        in another's output."""
        made = UPSAMPLERS[self.kind].arguments(self.backbone.dim, self.backbone.patch)
        upsampler = upsampler_of(self.kind, made | self.options)
        if isinstance(upsampler, LoftUp):
            upsampler.per_frame = True
        return upsampler

    def size_read(self, head: HeadConfig, upsampler: Upsampler) -> tuple[int, int]:
        """Height and width of the upsampler's map that the head is read at, before it is resized."""
        return upsampler.size_for(self.size_of(head), self.input.size, self.grid)

    def step_of(self, head: HeadConfig) -> int:
        """The first upsampling step whose grid has at least the head's resolution; 0 is the backbone's."""
        patch = 16 if self.backbone.patch == 14 else self.backbone.patch  # see uplift.encoder_image
        for step in range(self.steps + 1):
            if patch <= head.stride << step:
                return step
        raise ValueError(
            f"head {head.name}: stride {head.stride} (expected with patch {self.backbone.patch} and "
            f"{self.steps} steps: >= {patch >> self.steps})"
        )

    def size_of(self, head: HeadConfig) -> tuple[int, int]:
        """Height and width of the head's output."""
        return self.input.height // head.stride, self.input.width // head.stride

    @staticmethod
    def load(path: Path) -> ModelConfig:
        """Reads the YAML file; ValueError says which entry is missing or wrong."""
        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise ValueError(f"{path}: no description of a model (expected: name, input, backbone, …)")
        try:
            backbone, upsampler = values["backbone"], values["upsampler"]
            described: ViTConfig | TimmConfig
            if "timm" in backbone:
                described = TimmConfig(**backbone["timm"])
            elif isinstance(backbone["vit"], str):
                described = MODELS[backbone["vit"]]
            else:
                described = ViTConfig(**backbone["vit"])
            kind = upsampler.get("kind", UPLIFT)
            if kind not in KINDS:
                raise ValueError(f"upsampler.kind: {kind!r} (expected: {' or '.join(KINDS)})")
            uplift: dict[str, Any] = {}
            if kind != UPLIFT:
                pass
            elif "config" in upsampler:
                uplift = yaml.safe_load((path.parent / upsampler["config"]).read_text())
            elif "uplift" not in upsampler and "weights" in upsampler:
                uplift = official_uplift_config(upsampler["weights"])
            else:
                uplift = uplift_config(described.dim, described.patch, **upsampler["uplift"])
            return ModelConfig(
                name=values["name"],
                version=str(values["version"]),
                description=values["description"],
                license=values["license"],
                input=InputConfig(**values["input"]),
                backbone=described,
                steps=int(upsampler["steps"]) if kind == UPLIFT else 0,
                uplift=uplift,
                heads=[HeadConfig.from_dict(_without_weights(head)) for head in values["heads"]],
                labels=_labels(values["labels"], path.parent),
                weights={
                    part: (_source(entry["weights"], path.parent), entry.get("sha256"))
                    for part, entry in {
                        "backbone": backbone,
                        "upsampler": upsampler,
                        **{f"heads.{head.get('name')}": head for head in values["heads"]},
                    }.items()
                    if "weights" in entry
                },
                normalise=(tuple(backbone.get("mean", IMAGENET[0])), tuple(backbone.get("std", IMAGENET[1]))),
                kind=kind,
                options={} if kind == UPLIFT else _options(upsampler),
            )
        except KeyError as e:
            raise ValueError(f"{path}: {e.args[0]!r} is missing or unknown") from e
        except (AttributeError, TypeError, ValueError) as e:  # the first two: an entry of another type
            raise ValueError(f"{path}: {e}") from e


def _source(weights: str, directory: Path) -> str:
    """A relative file is meant from the configuration's directory."""
    return weights if weights.startswith(("hub:", "https://", "http://")) else str(directory / weights)


def _options(upsampler: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _without_weights(upsampler).items() if key != "kind"}


def _without_weights(head: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in head.items() if key not in ("weights", "sha256")}


def _labels(source: str, directory: Path) -> list[dict[str, Any]]:
    named = LABELS / f"{source}.json"
    file = named if named.is_file() else directory / source
    if not file.is_file():
        sets = ", ".join(sorted(path.stem for path in LABELS.glob("*.json")))
        raise ValueError(f"labels: {source} (expected: {sets} or a JSON file)")
    return json.loads(file.read_text())


PARTS = ("backbone", "upsampler", "heads")


class DenseModel(nn.Module):
    """The readable model: normalised images [N,3,H,W] to every head's map, by name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        plain = isinstance(config.backbone, ViTConfig)
        self.backbone = ViT(config.backbone) if plain else TimmBackbone(config.backbone, config.input.size)
        if not plain and config.normalise != self.backbone.normalise:
            raise ValueError(
                f"backbone: mean and std {config.normalise} (expected of {config.backbone.name}: "
                f"mean: {list(self.backbone.normalise[0])}, std: {list(self.backbone.normalise[1])})"
            )
        self.upsampler = config.upsampler()
        self.heads = nn.ModuleDict(
            {head.name: LinearHead(config.backbone.dim, head) for head in config.heads}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Class logits, projections or quantities [N,K,H/stride,W/stride] in float."""
        return self.upsample(images, self.backbone(images))

    def upsample(self, images: Tensor, features: Tensor) -> dict[str, Tensor]:
        """The same from the backbone's features [N,C,h,w]."""
        config = self.config
        if isinstance(self.upsampler, Upsampler):
            read = self.upsampler.maps(images, features, [config.size_of(head) for head in config.heads])
        else:
            grids = [features, *self.upsampler(images, features, config.steps)]
            read = [grids[config.step_of(head)] for head in config.heads]
        return {
            head.name: resize(self.heads[head.name](x), config.size_of(head))
            for head, x in zip(config.heads, read, strict=True)
        }

    @staticmethod
    def load(config: ModelConfig, directory: Path | None, parts: Sequence[str] = PARTS) -> DenseModel:
        """The model with the weights of `parts`: from the sources that the configuration names, else from the
        directory's files.

        WeightsError names tensors that are missing, surplus or of another shape.
        """
        model = DenseModel(config).eval()
        if "backbone" in parts:
            state, source = _read(config, directory, "backbone")
            if isinstance(model.backbone, ViT):
                load_vit(model.backbone, state, source)
            else:
                model.backbone.load(state, source)
        if "upsampler" in parts:
            model.upsampler = load_upsampler(config, directory)
        if "heads" in parts:
            others = nn.ModuleDict()
            for name, head in model.heads.items():
                if f"heads.{name}" in config.weights:
                    head.load(*_read(config, directory, f"heads.{name}"))
                else:
                    others[name] = head
            if others:
                state, source = _read(config, directory, "heads")
                load_strict(others, state, source, ignore=[f"{n}." for n in model.heads if n not in others])
        return model


def load_upsampler(config: ModelConfig, directory: Path | None) -> Uplift | Upsampler:
    """The model's upsampler alone, with its weights if it has any."""
    upsampler = config.upsampler().eval()
    if any(True for _ in upsampler.parameters()):
        load_strict(upsampler, *_read(config, directory, "upsampler"), ignored_names(upsampler))
    return upsampler


def ignored_names(upsampler: nn.Module) -> tuple[str, ...]:
    """Beginnings of names in published checkpoints that are no part of the upsampler."""
    return upsampler.ignored if isinstance(upsampler, Upsampler) else ()


def _read(config: ModelConfig, directory: Path | None, part: str) -> tuple[State, str]:
    """The tensors of a part and where they come from."""
    if part in config.weights:
        source, sha256 = config.weights[part]
    elif directory is not None:
        name = config.upsampler_file if part == "upsampler" else part
        file = directory / f"{name}.safetensors"
        if not file.is_file():
            raise WeightsError(
                f"weights: {file}: no such file (train-{part} makes it; or the configuration names weights)"
            )
        source, sha256 = str(file), None
    else:
        raise WeightsError(f"{part}: no weights (expected: in the configuration, or a directory of them)")
    return read_state_dict(locate(source, sha256)), source
