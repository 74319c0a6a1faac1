from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from uplift_toolkit.export import export_bundle
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.uplift import LayerNorm

torch.set_num_threads(1)  # the maps are tiny: threads would only wait for each other

PARITY = Path(__file__).parent / "resources" / "parity"
CASES = sorted(path.parent for path in PARITY.glob("*/case.json"))
assert CASES, "tests of no case would pass"

SMALL = {
    "name": "small",
    "version": "1.2.3",
    "description": "A model for tests.",
    "license": "Apache-2.0",
    "input": {"width": 40, "height": 24, "fit": "letterbox", "maxBatch": 3},
    "backbone": {
        "vit": {
            "patch": 8,
            "dim": 16,
            "depth": 1,
            "heads": 2,
            "grid": [3, 5],
            "class_token": False,
            "stem": "conv",
        }
    },
    "upsampler": {"steps": 3, "uplift": {"neighbours": 17, "encoder": [4, 6, 8], "decoder": 20}},
    "heads": [
        {"name": "classes", "kind": "segmentation", "channels": 19, "stride": 1, "confidence": True},
        {"name": "features", "kind": "features", "channels": 5, "stride": 4},
        {"name": "depth", "kind": "regression", "channels": 1, "stride": 2, "unit": "m", "log": True},
        {"name": "coarse", "kind": "segmentation", "channels": 19, "stride": 8},
    ],
    "labels": "cityscapes",
}


@pytest.fixture(autouse=True)
def repeatable():
    torch.manual_seed(0)


def randomise(module: nn.Module) -> nn.Module:
    """Weights and statistics of a module in evaluation mode that leave no term at its neutral value."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm | LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()


def write(directory, **changes):
    """The file of the model SMALL, with other values of some entries."""
    path = directory / "model.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def save_weights(model, directory):
    """The three checkpoint files of a model."""
    for part in ("backbone", "upsampler", "heads"):
        save_file(getattr(model, part).state_dict(), directory / f"{part}.safetensors")


def frames(count, seed=1):
    """Random pixels u8 [count,H,W,3] of the size of SMALL's input."""
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 40, 3), np.uint8)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """SMALL with random weights."""
    torch.manual_seed(3)  # with 0 the labels' margins are so small that bf16 changes one of 80
    return randomise(DenseModel(ModelConfig.load(write(tmp_path_factory.mktemp("config")))))


@pytest.fixture(scope="session")
def bundle(model, tmp_path_factory):
    """The bundle of SMALL, without cpu-int8."""
    return export_bundle(model, tmp_path_factory.mktemp("bundle") / "small", note="Made by a test.")
