"""The ViT family: shapes, position interpolation, and timm as the reference where it is installed."""

import importlib.util
import sys
import types
from dataclasses import replace

import pytest
import torch
from conftest import SMALL as SMALL_MODEL
from conftest import randomise, write

from uplift_toolkit.bundle import Variant
from uplift_toolkit.checkpoints import DIALECTS, in_dialect, load_vit
from uplift_toolkit.export import export_variant
from uplift_toolkit.graph import BackboneGraph
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.timm_backbone import TimmBackbone, TimmConfig
from uplift_toolkit.vit import MODELS, ViT, ViTConfig, rotary_periods
from uplift_toolkit.weights import WeightsError, load_strict

SMALL = {"patch": 4, "dim": 16, "depth": 2, "heads": 2, "grid": (3, 5)}


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("registers", [0, 4])
def test_features_of_several_sizes(stem, registers):
    model = randomise(ViT(ViTConfig(**SMALL, stem=stem, registers=registers)))
    for h, w in ((3, 5), (6, 10), (1, 2)):
        assert model(torch.randn(2, 3, 4 * h, 4 * w)).shape == (2, 16, h, w)


def test_without_class_token():
    model = randomise(ViT(ViTConfig(**SMALL, class_token=False)))
    assert "cls_token" not in model.state_dict()
    assert model.pos_embed.shape == (1, 15, 16)
    assert model(torch.randn(1, 3, 12, 20)).shape == (1, 16, 3, 5)


def test_positions_reach_the_patches_in_order():
    model = randomise(ViT(ViTConfig(**SMALL, position_prefix=False)))
    image = torch.zeros(1, 3, 12, 20)
    before = model(image)
    with torch.no_grad():
        model.pos_embed[0, 7] += 3  # row 1, column 2
    moved = (model(image) - before).abs().sum(1)[0]
    assert moved.flatten().argmax() == 7


def test_sizes_must_be_multiples_of_the_patch():
    with pytest.raises(ValueError, match=r"image size: 22x12 \(expected: multiples of patch = 4\)"):
        ViT(ViTConfig(**SMALL))(torch.zeros(1, 3, 12, 22))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 15}, r"dim: 15 \(expected: a multiple of heads = 2\)"),
        ({"mlp": "relu"}, r"mlp: 'relu'"),
        ({"positions": "none"}, r"positions: 'none'"),
        (
            {"positions": "rotary", "dim": 12},
            r"dim: 12 \(expected with rotary positions: a multiple of 4 heads",
        ),
        ({"stem": "conv", "patch": 14}, r"patch: 14 \(expected with a conv stem: a power of two\)"),
    ],
)
def test_impossible_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        ViTConfig(**{**SMALL, **options})


@pytest.fixture(scope="module")
def timm():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: pip install 'uplift-toolkit[timm]' compares the ViTs with it")
    if importlib.util.find_spec("torchvision") is not None and not torch.cuda.is_available():
        # A CUDA build of torchvision beside a CPU torch lacks an operator that timm never calls.
        try:
            import torchvision  # noqa: F401
        except RuntimeError:
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")
    return pytest.importorskip("timm")


def reference(timm, name, **options):
    """timm's model with weights that leave no term at its neutral value."""
    model = randomise(timm.create_model(name, num_classes=0, **options))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.05)
        else:
            torch.nn.init.normal_(parameter, 1, 0.3)
    return model


def features(model, images, patch):
    h, w = images.shape[2] // patch, images.shape[3] // patch
    tokens = model.forward_features(images)[:, model.num_prefix_tokens :]
    return tokens.transpose(1, 2).reshape(len(images), -1, h, w)


@pytest.mark.parametrize(
    "name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_224"]
)
@torch.inference_mode()
def test_agrees_with_timm(timm, name):
    config = MODELS[name]
    size = config.grid[0] * config.patch
    expected = reference(timm, name, img_size=size, dynamic_img_size=True)
    model = ViT(config).eval()
    load_strict(model, expected.state_dict(), name)
    for h, w in ((4, 6), (9, 5)):
        images = torch.randn(2, 3, h * config.patch, w * config.patch)
        torch.testing.assert_close(model(images), features(expected, images, config.patch), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_swiglu_agrees_with_timm(timm):
    options = {"img_size": 56, "embed_dim": 48, "depth": 2, "num_heads": 4, "dynamic_img_size": True}
    expected = reference(timm, "vit_giant_patch14_reg4_dinov2", **options)
    config = ViTConfig(
        dim=48, depth=2, heads=4, grid=(4, 4), mlp="swiglu", mlp_width=128, registers=4, position_prefix=False
    )
    model = ViT(config).eval()
    load_strict(model, expected.state_dict(), "timm")
    images = torch.randn(1, 3, 42, 70)
    torch.testing.assert_close(model(images), features(expected, images, 14), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3", "vit_base_patch16_dinov3"]
)
@torch.inference_mode()
def test_dinov3_agrees_with_timm(timm, name):
    expected = reference(timm, name)
    model = ViT(MODELS[name]).eval()
    load_vit(model, expected.state_dict(), name)
    for h, w in ((4, 6), (9, 5)):
        images = torch.randn(2, 3, h * 16, w * 16)
        torch.testing.assert_close(model(images), features(expected, images, 16), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_every_dinov3_of_timm_has_our_shapes(timm):
    for name, config in MODELS.items():
        if "dinov3" in name:
            with torch.device("meta"):
                theirs = timm.create_model(name).state_dict()
                ours = in_dialect(DIALECTS[1], ViT(config).state_dict())
            assert {n: v.shape for n, v in theirs.items()} == {n: v.shape for n, v in ours.items()}


@torch.inference_mode()
def test_dinov3_with_biases_agrees_with_timm(timm):
    expected = reference(timm, "vit_small_plus_patch16_dinov3_qkvb", depth=2)
    config = replace(MODELS["vit_small_plus_patch16_dinov3"], depth=2, qkv_bias=True)
    model = ViT(config).eval()
    load_vit(model, expected.state_dict(), "timm")
    images = torch.randn(1, 3, 48, 80)
    torch.testing.assert_close(model(images), features(expected, images, 16), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("biases", [False, True])
@torch.inference_mode()
def test_checkpoints_of_the_dinov3_authors_are_read_as_by_timm(timm, biases):
    name = "vit_small_plus_patch16_dinov3" + ("_qkvb" if biases else "")
    expected = reference(timm, name, depth=1)
    state = dinov3_authors(replace(MODELS["vit_small_plus_patch16_dinov3"], depth=1, qkv_bias=biases))
    from timm.models.eva import checkpoint_filter_fn

    expected.load_state_dict(checkpoint_filter_fn(dict(state), expected))
    model = ViT(replace(MODELS["vit_small_plus_patch16_dinov3"], depth=1, qkv_bias=biases)).eval()
    load_vit(model, state, "authors")
    images = torch.randn(1, 3, 48, 80)
    torch.testing.assert_close(model(images), features(expected, images, 16), rtol=1e-5, atol=1e-5)


def dinov3_authors(config):
    """A random checkpoint with every tensor that the authors' files have."""
    state = in_dialect(DIALECTS[0], randomise(ViT(config)).state_dict())
    for i in range(config.depth):
        bias = torch.randn(3 * config.dim) if config.qkv_bias else torch.zeros(3 * config.dim)
        mask = torch.ones(3, config.dim)
        mask[1] = 0
        state |= {f"blocks.{i}.attn.qkv.bias": bias, f"blocks.{i}.attn.qkv.bias_mask": mask.flatten()}
    periods = rotary_periods(config.dim // config.heads).bfloat16()
    return state | {"rope_embed.periods": periods, "mask_token": torch.zeros(1, config.dim)}


def test_dinov3_checkpoints_that_this_model_is_not():
    config = ViTConfig(patch=4, dim=16, depth=1, heads=2, registers=1, positions="rotary", qkv_bias=False)
    state = dinov3_authors(config)
    load_vit(ViT(config), state, "file")
    other = {**state, "rope_embed.periods": state["rope_embed.periods"] * 1.1}
    with pytest.raises(WeightsError, match=r"^file: rope_embed.periods \[.*\] \(expected: \["):
        load_vit(ViT(config), other, "file")
    other = {**state, "blocks.0.attn.qkv.bias": torch.ones(48)}
    with pytest.raises(WeightsError, match=r"^file: blocks.0.attn.qkv.bias is not zero"):
        load_vit(ViT(config), other, "file")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.publisher)
@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
def test_dialects_are_read_back(dialect, mlp):
    """What is missing, renamed or of another shape is told in the checkpoint's own names."""
    rotary = {"positions": "rotary", "qkv_bias": False} if "v3" in dialect.publisher else {}
    config = ViTConfig(**SMALL, mlp=mlp, mlp_width=24, registers=2, position_prefix=False, **rotary)
    model, state = randomise(ViT(config)), None
    state = in_dialect(dialect, model.state_dict())
    if dialect.marker not in state:
        state[dialect.marker] = torch.zeros(1)
    loaded = ViT(config).eval()
    load_vit(loaded, state, "file")
    images = torch.randn(1, 3, 12, 20)
    assert torch.equal(loaded(images), model(images))
    names = [name for name in state if name.endswith(("norm2.weight", "mlp.fc2.weight", "mlp.w3.weight"))]
    for name in names:
        other = {n: v for n, v in state.items() if n != name}
        shape = str(list(state[name].shape)).replace("[", r"\[").replace("]", r"\]")
        with pytest.raises(WeightsError, match=rf"^file: missing: {name} {shape}$"):
            load_vit(loaded, other, "file")
        with pytest.raises(WeightsError, match=rf"missing: {name} {shape}; surplus: {name}s {shape}$"):
            load_vit(loaded, {**other, f"{name}s": state[name]}, "file")
        with pytest.raises(WeightsError, match=rf"shape: {name} \[7\] \(expected: {shape}\)$"):
            load_vit(loaded, {**state, name: torch.zeros(7)}, "file")
    assert names


@pytest.mark.parametrize("registers", [0, 4])
@torch.inference_mode()
def test_checkpoints_of_the_dinov2_authors_are_read_as_by_timm(timm, registers):
    name = "vit_small_patch14_reg4_dinov2" if registers else "vit_small_patch14_dinov2"
    expected = reference(timm, name, img_size=56, depth=1)
    state = {n: torch.randn_like(v) * 0.05 for n, v in expected.state_dict().items() if n != "reg_token"}
    state |= {"mask_token": torch.zeros(1, 384), "pos_embed": torch.randn(1, 17, 384)}
    if registers:
        state["register_tokens"] = torch.randn(1, registers, 384)
    from timm.models.vision_transformer import checkpoint_filter_fn

    expected.load_state_dict(checkpoint_filter_fn(dict(state), expected))
    model = ViT(replace(MODELS[name], depth=1, grid=(4, 4))).eval()
    load_vit(model, state, "authors")
    images = torch.randn(1, 3, 56, 56)
    torch.testing.assert_close(model(images), features(expected, images, 14), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("vit_tiny_patch16_224", 192),  # plain, with a class token
        ("vit_small_patch16_224.dino", 384),
        ("vit_base_patch16_siglip_224", 768),
        ("eva02_tiny_patch14_224", 192),
        ("beit_base_patch16_224", 768),
    ],
)
@torch.inference_mode()
def test_timm_models_serve_as_backbones(timm, name, dim):
    patch = 14 if "14" in name else 16
    backbone = TimmBackbone(TimmConfig(name, dim, patch), (2 * patch, 3 * patch)).eval()
    state = reference(timm, name, img_size=4 * patch).state_dict()  # positions of another size
    backbone.load(state, "file")
    images = torch.randn(1, 3, 2 * patch, 3 * patch)
    assert backbone(images).shape == (1, dim, 2, 3)
    assert torch.isfinite(backbone(images)).all()
    torch.testing.assert_close(backbone(images), features(backbone.model, images, patch))
    torch.testing.assert_close(backbone.of_one_size()(images), backbone(images), rtol=0, atol=0)
    larger = torch.randn(1, 3, 4 * patch, 5 * patch)
    if name.startswith("beit"):
        with pytest.raises(ValueError, match=r"an image of 80x64 \(expected: 48x32, the only size"):
            backbone(larger)
    else:
        assert backbone(larger).shape == (1, dim, 4, 5)
    weight = state.pop("blocks.1.norm2.weight")
    with pytest.raises(WeightsError, match=rf"^file: missing: blocks.1.norm2.weight \[{dim}\]$"):
        backbone.load(dict(state), "file")
    with pytest.raises(WeightsError, match=rf"; surplus: blocks.1.norm3.weight \[{dim}\]$"):
        backbone.load({**state, "blocks.1.norm3.weight": weight}, "file")
    with pytest.raises(WeightsError, match=rf"blocks.1.norm2.weight \[7\] \(expected: \[{dim}\]\)$"):
        backbone.load({**state, "blocks.1.norm2.weight": torch.ones(7)}, "file")


@pytest.mark.parametrize(("name", "dim"), [("vit_tiny_patch16_224", 192), ("beit_base_patch16_224", 768)])
def test_timm_resamples_positions_of_square_images_alone(timm, name, dim):
    config = TimmConfig(name, dim, 16)
    state = randomise(TimmBackbone(config, (32, 96))).state_dict()
    same = TimmBackbone(config, (32, 96))
    same.load(state, "file")
    for key, value in same.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)
    with pytest.raises(WeightsError, match=r"^file, model: .*positions of a square image, or of 64x64\)$"):
        TimmBackbone(config, (64, 64)).load(state, "file")


def test_timm_models_that_do_not_fit(timm, tmp_path):
    with pytest.raises(ValueError, match=r"vit_tiny_patch16_224: 192 channels \(expected: 384\)"):
        TimmBackbone(TimmConfig("vit_tiny_patch16_224", 384, 16), (32, 48))
    with pytest.raises(ValueError, match="expected: a model with a patch grid"):
        TimmBackbone(TimmConfig("resnet18", 512, 32), (64, 64))
    backbone = {"timm": {"name": "vit_tiny_patch16_224", "dim": 192, "patch": 16}}
    changes = {"input": {"width": 48, "height": 32}, "upsampler": {**SMALL_MODEL["upsampler"], "steps": 4}}
    with pytest.raises(ValueError, match=r"expected of vit_tiny_patch16_224: mean: \[0.5, 0.5, 0.5\], std"):
        DenseModel(ModelConfig.load(write(tmp_path, backbone=backbone, **changes)))
    backbone |= {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    DenseModel(ModelConfig.load(write(tmp_path, backbone=backbone, **changes)))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_tiny_patch16_dinov3_qkvb"])
@torch.inference_mode()
def test_timm_models_are_exported_for_any_batch_and_device(timm, tmp_path, name):
    backbone = {"timm": {"name": name, "dim": 192, "patch": 16}}
    backbone |= {} if "dino" in name else {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    changes = {"input": {"width": 48, "height": 32}, "upsampler": {**SMALL_MODEL["upsampler"], "steps": 4}}
    model = randomise(DenseModel(ModelConfig.load(write(tmp_path, backbone=backbone, **changes))))
    export_variant(model, Variant("cpu", "fp32"), tmp_path)
    frames = torch.randint(0, 256, (3, 32, 48, 3), dtype=torch.uint8)
    expected = BackboneGraph(model, Variant("cpu", "fp32"))(frames)
    traced = torch.jit.load(tmp_path / "cpu-fp32" / "backbone.pt")
    assert "Device =" not in str(traced.graph)
    for n in (1, 2, 3):
        torch.testing.assert_close(traced(frames[:n]), expected[:n], rtol=1e-4, atol=1e-4)


def test_without_timm_the_error_says_what_to_install():
    if importlib.util.find_spec("timm") is not None:
        pytest.skip("timm is installed")
    with pytest.raises(ValueError, match=r"pip install 'uplift-toolkit\[timm\]'"):
        TimmBackbone(TimmConfig("vit_tiny_patch16_224", 192, 16), (32, 48))
