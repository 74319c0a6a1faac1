"""The YAML description of a model: what it gives, and what it refuses."""

from pathlib import Path

import pytest
import torch
import yaml
from conftest import randomise
from safetensors.torch import save_file

from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.weights import WeightsError

STREET = Path(__file__).parents[1] / "configs" / "street.yaml"
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


def write(directory, **changes):
    path = directory / "model.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def save_weights(model, directory):
    for part in ("backbone", "upsampler", "heads"):
        save_file(getattr(model, part).state_dict(), directory / f"{part}.safetensors")


def test_the_shipped_configuration():
    config = ModelConfig.load(STREET)
    assert (config.input.width, config.input.height) == (320, 192)
    assert config.uplift["uplift"]["attender"] == 17
    assert [label["name"] for label in config.labels[:2]] == ["road", "sidewalk"]
    assert [(head.kind, head.stride) for head in config.heads] == [
        ("segmentation", 1),
        ("features", 4),
        ("regression", 2),
    ]


@torch.inference_mode()
def test_heads_at_their_strides(tmp_path):
    config = ModelConfig.load(write(tmp_path))
    assert [config.step_of(head) for head in config.heads] == [3, 1, 2, 0]
    outputs = DenseModel(config).eval()(torch.randn(2, 3, 24, 40))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "classes": (2, 19, 24, 40),
        "features": (2, 5, 6, 10),
        "depth": (2, 1, 12, 20),
        "coarse": (2, 19, 3, 5),
    }


def test_patch_14_strides(tmp_path):
    backbone = {"vit": {"patch": 14, "dim": 16, "depth": 1, "heads": 2, "grid": [3, 5]}}
    upsampler = {**SMALL["upsampler"], "steps": 4}
    config = ModelConfig.load(
        write(tmp_path, backbone=backbone, upsampler=upsampler, input={"width": 70, "height": 42})
    )
    assert [config.step_of(head) for head in config.heads] == [4, 2, 3, 1]
    images = torch.randn(1, 3, 42, 70)
    assert DenseModel(config).eval()(images)["classes"].shape == (1, 19, 42, 70)


def test_weights_come_back(tmp_path):
    config = ModelConfig.load(write(tmp_path))
    model = randomise(DenseModel(config))
    save_weights(model, tmp_path)
    loaded = DenseModel.load(config, tmp_path)
    images = torch.randn(1, 3, 24, 40)
    for name, output in model(images).items():
        assert torch.equal(output, loaded(images)[name])


def test_weights_named_in_the_configuration(tmp_path):
    model = randomise(DenseModel(ModelConfig.load(write(tmp_path))))
    save_weights(model, tmp_path)
    (tmp_path / "backbone.safetensors").rename(tmp_path / "mine.safetensors")
    backbone = {**SMALL["backbone"], "weights": "mine.safetensors"}
    loaded = DenseModel.load(ModelConfig.load(write(tmp_path, backbone=backbone)), tmp_path)
    assert torch.equal(loaded.backbone.pos_embed, model.backbone.pos_embed)
    backbone["sha256"] = "00"
    with pytest.raises(WeightsError, match=r"mine.safetensors has SHA-256 .* \(expected: 00\)"):
        DenseModel.load(ModelConfig.load(write(tmp_path, backbone=backbone)), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"width": 42, "height": 24}}, r"input: 42x24 \(expected: multiples of the patch, 8\)"),
        ({"input": {"width": 40, "height": 24, "fit": "crop"}}, r"input.fit: 'crop'"),
        ({"input": {"width": 40, "height": 24, "maxBatch": 0}}, r"input.maxBatch: 0 \(expected: >= 1\)"),
        ({"backbone": {"vit": "vit_tiny"}}, r"'vit_tiny' is missing or unknown"),
        ({"heads": []}, r"heads: \[\]"),
        ({"heads": [{"name": "a", "kind": "boxes", "channels": 1}]}, r"head a: kind 'boxes'"),
        ({"heads": [{"name": "a", "kind": "features", "channels": 1, "stride": 3}]}, r"head a: stride 3"),
        ({"heads": [{"name": "a", "kind": "features", "channels": 1, "size": 3}]}, r"head a: .*size"),
        (
            {"heads": [{"name": "a", "kind": "segmentation", "channels": 18}]},
            r"18 classes \(expected: 19 labels\)",
        ),
        (
            {"upsampler": {**SMALL["upsampler"], "steps": 2}},
            r"head classes: stride 1 \(expected with patch 8 and 2 steps: >= 2\)",
        ),
    ],
)
def test_descriptions_that_cannot_work(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.load(write(tmp_path, **changes))


@pytest.mark.parametrize("key", ["name", "input", "heads", "labels"])
def test_missing_entries_are_named(tmp_path, key):
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in SMALL.items() if k != key}))
    with pytest.raises(ValueError, match=f"{path}: '{key}' is missing or unknown"):
        ModelConfig.load(path)
