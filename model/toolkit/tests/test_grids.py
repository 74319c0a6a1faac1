"""Training and judging where the upsampler's last grid is not the image's: patch 14 and its like."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import SMALL, randomise, write

from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import gather, maps_of


def model_of(directory: Path, patch: int) -> DenseModel:
    """Random weights for 4x8 features, four steps, and a head of every stride that divides the image."""
    strides = [1 << k for k in range(6) if 4 * patch % (1 << k) == 0]
    heads = [{"name": f"by {s}", "kind": "features", "channels": 5, "stride": s} for s in strides]
    vit = {"patch": patch, "dim": 16, "depth": 1, "heads": 2, "grid": [4, 8]}
    path = write(
        directory,
        input={"width": 8 * patch, "height": 4 * patch},
        backbone={"vit": vit},
        upsampler={**SMALL["upsampler"], "steps": 4},
        heads=heads,
    )
    return randomise(DenseModel(ModelConfig.load(path)))


@pytest.mark.parametrize("patch", [12, 14, 16])
@torch.inference_mode()
def test_head_maps_and_sampled_features_are_the_models(tmp_path: Path, patch: int) -> None:
    model = model_of(tmp_path, patch)
    images = torch.randn(2, 3, *model.config.input.size)
    features = model.backbone(images)
    maps, whole = maps_of(model.config, model.upsampler, images, features), model(images)
    for head in model.config.heads:
        linear, expected = model.heads[head.name], whole[head.name]
        torch.testing.assert_close(maps.head_map(linear), expected, atol=1e-4, rtol=0)
        h, w = expected.shape[2:]
        pixels = torch.arange(h * w).expand(2, -1)
        y, x = pixels // w, pixels % w
        found = linear(maps.at(head, y, x).transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        torch.testing.assert_close(found, gather(expected, y, x), atol=1e-4, rtol=0)
