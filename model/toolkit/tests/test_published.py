"""Checkpoints of full size under published names: read whole, or refused by the name of what is wrong."""

import re

import numpy as np
import pytest
import torch
from conftest import SMALL, randomise, save_weights, write
from PIL import Image
from published import write as publish
from safetensors.torch import save_file

from uplift_toolkit.__main__ import main
from uplift_toolkit.agree import labels_agree
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.weights import WeightsError, read_state_dict

BROKEN = [
    ("backbone", "dinov2_vits14_pretrain.pth", "blocks.7.attn.qkv.weight"),
    ("upsampler", "uplift_dinov2-s14.safetensors", "decoder.block_0.blocks.0.conv.0.weight"),
    ("heads.segmentation", "ade20k_linear_head.pth", "decode_head.bn.running_var"),
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return publish("dinov2-s14", tmp_path_factory.mktemp("published"), (70, 56))


@pytest.fixture(scope="module")
def model(published):
    return DenseModel.load(ModelConfig.load(published), None)


def test_dinov2_s14_with_uplift_and_a_released_head(published, model):
    state = read_state_dict(published.parent / "ade20k_linear_head.pth")
    assert state["decode_head.conv_seg.weight"].shape == (150, 384, 1, 1)
    image = torch.randn(1, 3, 56, 70)
    with torch.inference_mode():
        out = model(image)
    assert out["logits"].shape == (1, 150, 56, 70)
    assert torch.equal(out["logits"], out["segmentation"])
    assert 0.5 < out["logits"].std() < 50


@pytest.mark.parametrize(("part", "file", "key"), BROKEN)
@pytest.mark.parametrize("fault", ["missing", "renamed", "of another shape"])
def test_one_wrong_tensor(published, model, monkeypatch, part, file, key, fault):
    state = read_state_dict(published.parent / file)
    value = state.pop(key)
    shape = re.escape(str(list(value.shape)))
    message = rf"missing: {key} {shape}"
    if fault == "renamed":
        state[f"{key}s"] = value
        message += rf"; surplus: {key}s {shape}"
    elif fault == "of another shape":
        state[key] = value[:-1]
        message = rf"of another shape: {key} {re.escape(str(list(value[:-1].shape)))} \(expected: {shape}\)"
    monkeypatch.setattr("uplift_toolkit.model.DenseModel", lambda config: model)
    monkeypatch.setattr(
        "uplift_toolkit.model.read_state_dict",
        lambda path: state if path.name == file else read_state_dict(path),
    )
    with pytest.raises(WeightsError, match=rf"{re.escape(file)}: {message}$"):
        DenseModel.load(ModelConfig.load(published), None, [part.split(".")[0]])


def test_largest_margin_of_another_label():
    logits = torch.tensor([[[3.0, 1.0]], [[1.0, 1.25]], [[0.0, 0.0]]])  # 3 classes, 1×2 pixels
    assert labels_agree(logits, torch.tensor([[0, 1]])) == (0, 1)
    assert labels_agree(logits, torch.tensor([[0, 0]])) == (0.25, 0.5)
    assert labels_agree(logits, torch.tensor([[1, 1]])) == (2, 0.5)


def test_agreement_of_written_outputs(tmp_path, capsys):
    """The command on what `uplift infer` would have written: exact, then off by a little."""
    config = ModelConfig.load(write(tmp_path))
    model = randomise(DenseModel(config))
    save_weights(model, tmp_path)
    images, outputs = tmp_path / "images", tmp_path / "outputs"
    images.mkdir()
    outputs.mkdir()
    frame = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(frame).save(images / "a.png")
    pixels = (frame / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.inference_mode():
        out = model(torch.from_numpy(pixels).float().permute(2, 0, 1)[None])
    np.save(outputs / "a.features.npy", out["features"][0].numpy())
    np.save(outputs / "a.depth.npy", out["depth"][0].exp().numpy())
    Image.fromarray(out["classes"][0].argmax(0).byte().numpy()).save(outputs / "a.labels.png")
    config_without_coarse = write(tmp_path, heads=[h for h in SMALL["heads"] if h["name"] != "coarse"])
    arguments = ["agree", "--config", str(config_without_coarse), "--weights", str(tmp_path)]
    arguments += ["--images", str(images), "--outputs", str(outputs), "--tolerance", "1e-3"]
    weights = {n: v for n, v in model.heads.state_dict().items() if not n.startswith("coarse.")}
    save_file(weights, tmp_path / "heads.safetensors")
    assert main(arguments) == 0
    assert "100.0000% of the labels equal" in capsys.readouterr().out
    np.save(outputs / "a.features.npy", out["features"][0].numpy() + 0.002)
    assert main(arguments) == 1
    assert "2.00e-03 (expected: <= 0.001)" in capsys.readouterr().out
    Image.fromarray(frame[:20]).save(images / "a.png")
    assert main(arguments) == 2
    assert "size (40, 20) (expected: the model's, (40, 24))" in capsys.readouterr().err
