"""Training and judging where the upsampler's last grid is not the image's: patch 14 and its like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL, randomise, save_weights, write
from test_train import command, draw
from torch import nn

from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import gather, maps_of
from uplift_toolkit.pyramid import Recipe, feature_pyramids
from uplift_toolkit.train_upsampler import Example
from uplift_toolkit.upsamplers import Bilinear


def model_of(directory: Path, patch: int, steps: int) -> DenseModel:
    """Random weights for 4x8 features, and a head of every stride that divides the image."""
    strides = [1 << k for k in range(4 - steps, 6) if 4 * patch % (1 << k) == 0]
    heads = [{"name": f"by-{s}", "kind": "segmentation", "channels": 19, "stride": s} for s in strides]
    vit = {"patch": patch, "dim": 16, "depth": 1, "heads": 2, "grid": [4, 8]}
    path = write(
        directory,
        input={"width": 8 * patch, "height": 4 * patch},
        backbone={"vit": vit},
        upsampler={**SMALL["upsampler"], "steps": steps},
        heads=heads,
    )
    return randomise(DenseModel(ModelConfig.load(path)))


@pytest.mark.parametrize("patch", [12, 14, 16])
@torch.inference_mode()
def test_head_maps_and_sampled_features_are_the_models(tmp_path: Path, patch: int) -> None:
    model = model_of(tmp_path, patch, 4)
    images = torch.randn(2, 3, *model.config.input.size)
    features = model.backbone(images)
    maps, whole = maps_of(model.config, model.upsampler, images, features), model(images)
    found_maps = maps.head_maps([model.heads[head.name] for head in model.config.heads])
    for head, found in zip(model.config.heads, found_maps, strict=True):
        linear, expected = model.heads[head.name], whole[head.name]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        h, w = expected.shape[2:]
        pixels = torch.arange(h * w).expand(2, -1)
        y, x = pixels // w, pixels % w
        found = linear(maps.at(head, y, x).transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        torch.testing.assert_close(found, gather(expected, y, x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["bilinear", "jafar", "loftup"])
@torch.inference_mode()
def test_heads_of_several_sizes_share_an_upsampling(tmp_path: Path, kind: str) -> None:
    config = model_of(tmp_path, 8, 2).config.of_kind(kind)
    model = randomise(DenseModel(config))
    images = torch.randn(1, 3, *config.input.size)
    features = model.backbone(images)
    heads = [*model.heads.values(), *model.heads.values()]
    whole = model(images)
    maps = maps_of(config, model.upsampler, images, features)
    read, sizes = model.upsampler.read, []

    def counted(guide, features, size, weight, bias):
        sizes.append(size)
        return read(guide, features, size, weight, bias)

    model.upsampler.read = counted
    found_maps = list(maps.head_maps(heads))
    assert len(sizes) == len({config.size_read(head.config, model.upsampler) for head in heads}) < len(heads)
    for head, found in zip(heads, found_maps, strict=True):
        torch.testing.assert_close(found, whole[head.config.name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("patch", "steps"), [(8, 2), (14, 4), (16, 4)])
@torch.no_grad()
def test_moved_cells_are_read_where_they_lie(tmp_path: Path, patch: int, steps: int) -> None:
    """Features that say where they are, of which the upsampler takes the nearest."""
    upsampler = model_of(tmp_path, patch, steps).upsampler
    upsampler.attender.conv1.bias[upsampler.attender.offsets.index((0, 0))] = 1e6
    h, w = 4, 8
    features, target = torch.zeros(1, 16, h, w), torch.zeros(1, 16, 2 * h, 2 * w)
    features[:, 0], features[:, 1] = torch.arange(h)[:, None] + 0.5, torch.arange(w) + 0.5
    shifts = torch.tensor([[3 / patch, 5 / patch]])
    target[:, 0] = (torch.arange(2 * h)[:, None] + 0.5 + shifts[0, 0]) / 2
    target[:, 1] = (torch.arange(2 * w) + 0.5 + shifts[0, 1]) / 2
    example = Example(torch.randn(1, 3, h * patch, w * patch), features, [], (target, shifts))
    distance, _ = example.errors(upsampler, steps, lambda found, wanted: (found - wanted).abs().max())
    assert distance <= 0.5


class Ramps:
    """Frames in whose pixels each place of the image says where it is."""

    def __len__(self) -> int:
        return 2

    def key(self) -> str:
        return "ramps"

    def random_window(self, *_: object) -> None: ...

    def batch(self, picks: list[object], size: tuple[int, int]) -> SimpleNamespace:
        ramps = torch.arange(size[0])[:, None, None], torch.arange(size[1])[:, None]
        image = sum(ramp * torch.tensor(way) for ramp, way in zip(ramps, ([2, 0, 0], [0, 2, 0]), strict=True))
        images = image.to(torch.uint8).expand(len(picks), -1, -1, -1)
        return SimpleNamespace(images=images, labels=images[..., 0])


@pytest.mark.parametrize("patch", [8, 12, 14, 16])
def test_cells_of_moved_images_are_read_where_they_lie(tmp_path: Path, patch: int) -> None:
    """To a tenth of a pixel, of an upsampler that has no share in it; only borders may be off."""
    model = model_of(tmp_path, patch, 4)
    model.backbone = nn.AvgPool2d(patch)
    recipe = Recipe((8 * patch, 8 * patch), patch, 1, False, True, 2, 0)
    pyramids = feature_pyramids(model, Ramps(), recipe, tmp_path, torch.device("cpu"))
    pixel = 2 * 2 * float(pyramids.normalise.scale.flatten()[0])  # of the reduced image
    example = Example.of(pyramids, np.arange(2), 1, np.random.default_rng(0), torch.device("cpu"), 0.0)
    example = replace(example, plain=[])
    off = lambda found, wanted: (found - wanted)[:, :2].abs().median() / pixel  # noqa: E731
    for distance in example.errors(Bilinear(), 1, off):
        assert float(distance) < 0.1


def test_a_share_of_the_examples_is_whole(tmp_path: Path) -> None:
    model = model_of(tmp_path, 8, 3)
    pyramids = feature_pyramids(
        model, Ramps(), Recipe((64, 64), 8, 2, True, False, 2, 0), tmp_path, torch.device("cpu")
    )
    rng = np.random.default_rng(0)

    def sides(level: int, whole: float) -> list[int]:
        of = [Example.of(pyramids, np.arange(1), level, rng, torch.device("cpu"), whole) for _ in range(40)]
        return [example.images.shape[2] for example in of]

    assert set(sides(1, 0)) == {32}
    assert 10 < sides(1, 0.5).count(64) < 30
    assert set(sides(1, 1)) == {64}
    assert set(sides(2, 0)) == {32}  # halved images are never cut


@pytest.mark.parametrize(("patch", "steps"), [(8, 2), (14, 4)])
def test_the_training_commands_in_a_row(tmp_path: Path, patch: int, steps: int) -> None:
    save_weights(model_of(tmp_path, patch, steps), tmp_path)
    draw(tmp_path, 2, seed=1)
    common = ["--config", tmp_path / "model.yaml", "--data", tmp_path]
    small = ["--output", tmp_path, "--images", 2, "--steps", 1]
    more = ["--batch", 1, "--levels", 1, "--shifted", "--task-loss", 1]
    command("train-upsampler", *common, *small, *more)
    command("train-heads", *common, *small, "--pixels", 50)
    command("evaluate", *common, "--weights", tmp_path, "--no-cost", "--report", tmp_path / "report.json")
    assert len(json.loads((tmp_path / "report.json").read_text())["heads"]) >= 3
