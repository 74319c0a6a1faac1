"""The YAML description of a model: what it gives, and what it refuses."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SMALL, randomise, save_weights, write
from torch import nn

from uplift_toolkit.bundle import Bundle
from uplift_toolkit.checkpoints import load_vit, official_uplift_config
from uplift_toolkit.fast import FastUplift, Readout
from uplift_toolkit.graph import Normalise
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.uplift import Uplift
from uplift_toolkit.weights import WeightsError, read_state_dict

STREET = Path(__file__).parents[1] / "configs" / "street.yaml"


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
def test_the_published_backbone_is_that_of_the_shipped_bundle():
    config = ModelConfig.load(STREET)
    model = DenseModel(config).eval()
    load_vit(model.backbone, read_state_dict(STREET.with_name("street.backbone.safetensors")), "published")
    bundle = Bundle.load(STREET.parents[2] / "bundles" / "street")
    frames = torch.from_numpy(bundle.frames())
    graph = torch.jit.load(bundle.directory / "cpu-fp32" / "backbone.pt")
    features = model.backbone(Normalise(torch.float32, config)(frames))
    torch.testing.assert_close(features, graph(frames), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["street-large", "street-naf"])
@torch.inference_mode()
def test_what_is_published_sees_what_the_shipped_bundle_sees(name):
    """Other trainings on the same backbone: most pixels are alike, not all."""
    config = ModelConfig.load(STREET.with_name(f"{name}.yaml"))
    model = DenseModel.load(config, None).eval()
    bundle = Bundle.load(STREET.parents[2] / "bundles" / "street")
    found = model(Normalise(torch.float32, config)(torch.from_numpy(bundle.frames())))
    shipped = bundle.outputs_by_head(bundle.run("cpu-fp32", bundle.frames()))
    alike = found["segmentation"].argmax(1).numpy() == shipped["segmentation"]
    assert 0.9 < alike.mean() < 1
    assert abs(found["depth"].exp().numpy() / shipped["depth"].astype(float) - 1).mean() < 0.15


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
        write(tmp_path, backbone=backbone, upsampler=upsampler, input={"width": 112, "height": 56})
    )
    assert [config.step_of(head) for head in config.heads] == [4, 2, 3, 1]
    images = torch.randn(1, 3, 56, 112)
    assert DenseModel(config).eval()(images)["classes"].shape == (1, 19, 56, 112)


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
        (
            {"input": {"width": 40, "height": 24}, "heads": [SMALL["heads"][3] | {"stride": 16}]},
            r"head coarse: stride 16 \(expected: a divisor of 40 and 24\)",
        ),
        ({"input": {"width": 40, "height": 24, "fit": "crop"}}, r"input.fit: 'crop'"),
        ({"input": {"width": 40, "height": 24, "maxBatch": 0}}, r"input.maxBatch: 0 \(expected: >= 1\)"),
        ({"backbone": {"vit": "vit_tiny"}}, r"'vit_tiny' is missing or unknown"),
        ({"input": {"width": 0, "height": -8}}, r"input: 0x-8 \(expected: whole numbers of pixels\)"),
        ({"backbone": {"vit": {"patch": 0}}}, r"backbone: patch 0 \(expected: >= 1\)"),
        (
            {"backbone": {**SMALL["backbone"], "mean": [1, 2]}},
            r"mean and std .* \(expected: three numbers each",
        ),
        ({"backbone": {**SMALL["backbone"], "weights": 5}}, r"model.yaml: 'int' object has no attribute"),
        ({"upsampler": 3}, r"model.yaml: 'int' object has no attribute"),
        ({"heads": [3]}, r"model.yaml: 'int' object has no attribute"),
        (
            {"heads": [{"name": 5, "kind": "features", "channels": 1}]},
            r"head 5 \(expected: a name of letters",
        ),
        ({"heads": [{"name": "../a", "kind": "features", "channels": 1}]}, r"head '../a' \(expected: a name"),
        (
            {"heads": [{"name": "a", "kind": "features", "channels": 0}]},
            r"head a: 0 channels \(expected: >= 1",
        ),
        ({"heads": [{"name": "a", "kind": "features", "channels": "x"}]}, r"head a: '<' not supported"),
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


def write_head(path, tensors, wrapper="state_dict"):
    torch.save({"meta": {"epoch": 3}, wrapper: tensors}, path)


def probe(channels=19, features=16):
    norm = randomise(nn.BatchNorm2d(features))
    return norm, randomise(nn.Conv2d(features, channels, 1))


def named(module, prefix):
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("norm_name", "linear_name", "wrapper"),
    [
        ("decode_head.bn.", "decode_head.conv_seg.", "state_dict"),  # mmseg: DINOv2's released heads
        ("batchnorm_layer.", "conv.", "model"),  # DINOv3's evaluation
        ("module.0.", "module.1.", "model_state_dict"),
        (None, "", "model_state_dict"),  # JAFAR's evaluation
    ],
)
@torch.inference_mode()
def test_heads_of_other_scripts(tmp_path, norm_name, linear_name, wrapper):
    norm, conv = probe()
    state = named(conv, linear_name) | (named(norm, norm_name) if norm_name else {})
    write_head(tmp_path / "head.pth", state, wrapper)
    head = LinearHead(16, HeadConfig("a", "segmentation", 19))
    head.load(read_state_dict(tmp_path / "head.pth"), "file")
    x = torch.randn(2, 16, 3, 5)
    torch.testing.assert_close(head(x), conv(norm(x)) if norm_name else conv(x), rtol=1e-5, atol=1e-5)


def test_a_part_of_a_file_as_head_and_backbone(tmp_path, capsys):
    """A training run's whole model, with a teacher beside it."""
    model = randomise(DenseModel(ModelConfig.load(write(tmp_path))))
    save_weights(model, tmp_path)
    _, conv = probe()
    whole = named(model.backbone, "backbone.") | named(conv, "decode_head.conv_seg.")
    torch.save({"student": whole, "teacher": whole}, tmp_path / "run.pth")
    heads = [dict(head) for head in SMALL["heads"]]
    heads[0]["weights"] = "run.pth#teacher.decode_head"
    backbone = {**SMALL["backbone"], "weights": "run.pth#teacher"}
    loaded = DenseModel.load(ModelConfig.load(write(tmp_path, heads=heads, backbone=backbone)), tmp_path)
    assert torch.equal(loaded.heads["classes"].linear.weight, conv.weight)
    assert torch.equal(loaded.backbone.pos_embed, model.backbone.pos_embed)
    assert "run.pth#teacher: " in capsys.readouterr().err
    heads[0]["weights"] = "run.pth"
    with pytest.raises(WeightsError, match=r"run.pth: .*; FILE#ENTRY takes a part of a file\)"):
        DenseModel.load(ModelConfig.load(write(tmp_path, heads=heads, backbone=backbone)), tmp_path)


def test_a_linear_layer_as_head():
    linear, head = nn.Linear(16, 19), LinearHead(16, HeadConfig("a", "segmentation", 19))
    head.load(linear.state_dict(), "file")
    assert torch.equal(head.linear.weight[:, :, 0, 0], linear.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_seg.weight": None}, r"missing: decode_head.conv_seg.weight \[19, 16, 1, 1\]$"),
        ({"conv_seg.bias": None}, r"missing: decode_head.conv_seg.bias \[19\]$"),
        ({"bn.running_mean": None}, r"missing: decode_head.bn.running_mean \[16\]$"),
        ({"bn.extra": torch.ones(3)}, r"surplus: decode_head.bn.extra \[3\]$"),
        (
            {"conv_seg.bias": torch.ones(18)},
            r"of another shape: decode_head.conv_seg.bias \[18\] \(expected: \[19\]\)$",
        ),
        ({"auxiliary.weight": torch.ones(3)}, r"expected: one linear layer's weight and bias"),
        (
            {"conv_seg.weight": torch.ones(19, 64, 1, 1)},
            r"reads 64 channels of several layers \(expected: the last layer's 16, as DINOv2's heads called",
        ),
    ],
)
def test_heads_that_do_not_fit(change, message):
    norm, conv = probe()
    state = named(norm, "decode_head.bn.") | named(conv, "decode_head.conv_seg.")
    state |= {f"decode_head.{name}": value for name, value in change.items()}
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(WeightsError, match=f"^file: .*{message}"):
        LinearHead(16, HeadConfig("a", "segmentation", 19)).load(state, "file")


def test_weights_of_one_head(tmp_path):
    heads = [dict(head) for head in SMALL["heads"]]
    heads[0]["weights"] = "probe.pth"
    config = ModelConfig.load(write(tmp_path, heads=heads))
    model = randomise(DenseModel(config))
    save_weights(model, tmp_path)
    _, conv = probe()
    write_head(tmp_path / "probe.pth", conv.state_dict(), "model_state_dict")
    loaded = DenseModel.load(config, tmp_path)
    assert torch.equal(loaded.heads["classes"].linear.weight, conv.weight)
    assert torch.equal(loaded.heads["depth"].linear.weight, model.heads["depth"].linear.weight)
    with pytest.raises(WeightsError, match=r"^backbone: no weights \(expected: in the configuration"):
        DenseModel.load(config, None)


@pytest.mark.parametrize(
    ("name", "classes"), [("cityscapes", 19), ("ade20k", 150), ("ade20k-151", 151), ("voc2012", 21)]
)
def test_label_sets(tmp_path, name, classes):
    heads = [{"name": "classes", "kind": "segmentation", "channels": classes}]
    labels = ModelConfig.load(write(tmp_path, heads=heads, labels=name)).labels
    assert [label["id"] for label in labels] == list(range(classes))
    assert all(re.fullmatch("#[0-9a-f]{6}", label["color"]) and label["name"] for label in labels)


def test_the_authors_checkpoints_need_no_configuration(tmp_path):
    backbone = {"vit": "vit_small_patch14_dinov2"}
    upsampler = {
        "steps": 4,
        "weights": "hub:UPLiFT-upsampler/uplift_dinov2-s14/uplift_dinov2-s14.safetensors",
    }
    size = {"width": 112, "height": 56}
    config = ModelConfig.load(write(tmp_path, backbone=backbone, upsampler=upsampler, input=size))
    assert sum(p.numel() for p in Uplift(config.uplift).parameters()) == 789_521
    upsampler["weights"] = "uplift_sd1.5vae.pth"
    with pytest.raises(
        ValueError, match=r"for 4 channels, patch 8 \(expected of this backbone: 384 channels, patch 14"
    ):
        ModelConfig.load(write(tmp_path, backbone=backbone, upsampler=upsampler, input=size))
    upsampler["weights"] = "mine.pth"
    with pytest.raises(ValueError, match=r"mine is none of the authors' checkpoints uplift_dinov2-s14, "):
        ModelConfig.load(write(tmp_path, backbone=backbone, upsampler=upsampler, input=size))


@torch.inference_mode()
def test_the_vae_upsampler_runs_readable_and_is_not_exported():
    """Its noise is drawn anew at every call, from a generator if one is given."""
    with torch.device("meta"):
        assert (
            sum(p.numel() for p in Uplift(official_uplift_config("uplift_sd1.5vae.pth")).parameters())
            == 53_487_445
        )
    config = official_uplift_config("uplift_sd1.5vae.pth")
    narrow(config["uplift"])
    uplift = randomise(Uplift(config))
    image, latents = torch.rand(1, 3, 32, 48), torch.randn(1, 4, 4, 6)
    first, second = (uplift(image, latents, 2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first[-1].shape == (1, 4, 16, 24)
    assert torch.equal(first[-1], second[-1])
    assert not torch.equal(first[-1], uplift(image, latents, 2)[-1])
    with pytest.raises(ValueError, match=r"ncat_s: 1.0 \(expected of the fast graph: 0, it draws no noise\)"):
        FastUplift(uplift, (32, 48), (4, 6), [Readout(2)])


def narrow(config):
    """An eighth of every width, to be quick."""
    for value in config.values():
        if isinstance(value, dict):
            if "hc" in value:
                value["hc"] = [width // 8 for width in value["hc"]]
            narrow(value)


RECIPES = (
    "camvid",
    "dinov2-s14-ade20k",
    "dinov2-s14-voc2012",
    "dinov3-splus16",
    "street-large",
    "street-naf",
    "street",
)


def test_recipes_can_be_read():
    paths = sorted(STREET.parent.glob("*.yaml"))
    assert tuple(path.stem for path in paths) == RECIPES
    for path in paths:
        ModelConfig.load(path)


@torch.inference_mode()
def test_pixels_as_the_backbone_was_trained(tmp_path):
    backbone = {**SMALL["backbone"], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5]}
    config = ModelConfig.load(write(tmp_path, backbone=backbone))
    frame = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(1, 1, 1, 3)
    assert Normalise(torch.float32, config)(frame).flatten().tolist() == pytest.approx([-1, 2, -0.6])
