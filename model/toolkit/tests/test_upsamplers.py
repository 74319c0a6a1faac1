"""The other upsamplers: each against a second implementation, its import, its export."""

import json

import pytest
import torch
import yaml
from conftest import frames, randomise, write
from plain_upsamplers import PLAIN
from safetensors.torch import load_file, save_file

from uplift_toolkit.__main__ import main
from uplift_toolkit.bundle import VARIANTS, Bundle
from uplift_toolkit.export import export_bundle, export_variant
from uplift_toolkit.graph import Normalise
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.parity import compare
from uplift_toolkit.train_upsampler import LOSSES, Example
from uplift_toolkit.uplift import resize
from uplift_toolkit.upsamplers import UPSAMPLERS, attention, base, featup, loftup, naf, upsampler_of
from uplift_toolkit.weights import WeightsError, load_strict, read_state_dict

# Names of cases, with the authors' arguments, the sizes of image and features, and of an output that the
# inputs do not decide.
CASES = {
    "jafar": ("jafar", {"v_dim": 12, "qk_dim": 16, "num_heads": 2}, (3, 24, 40), (12, 3, 5), (17, 22)),
    "jafar-in-proj": (
        "jafar",
        {"v_dim": 16, "qk_dim": 16, "kernel_size": 3},
        (3, 20, 28),
        (16, 5, 7),
        (20, 28),
    ),
    "anyup": ("anyup", {"qk_dim": 16}, (3, 35, 49), (6, 5, 7), (23, 31)),
    "anyup-shortcut": (
        "anyup",
        {
            "qk_dim": 16,
            "lfu_dim": 8,
            "kernel_size": 3,
            "kernel_size_lfu": 3,
            "num_heads": 2,
            "window_ratio": 0.3,
        },
        (3, 16, 24),
        (5, 4, 6),
        (24, 16),
    ),
    "anyup-no-window": ("anyup", {"qk_dim": 16, "window_ratio": 0.0}, (3, 16, 16), (4, 4, 4), (9, 16)),
    "naf": ("naf", {"dim": 32, "kernel_size": 3}, (3, 30, 42), (8, 5, 7), (30, 42)),
    "naf-odd": (
        "naf",
        {"dim": 32, "heads_attn": 2, "heads_rope": 1, "kernel_size": 5, "img_layers": 1},
        (3, 89, 70),
        (6, 5, 7),
        (17, 23),
    ),
    "loftup": ("loftup", {"dim": 8, "n_freqs": 4}, (3, 19, 26), (8, 3, 5), None),
    "loftup-learnable": (
        "loftup",
        {"dim": 8, "n_freqs": 3, "num_heads": 2, "num_layers": 1, "lr_size": 4, "lr_pe_type": "learnable"},
        (3, 12, 20),
        (8, 3, 5),
        None,
    ),
    "lift": ("lift", {"in_channels": 8, "patch_size": 8}, (3, 24, 40), (8, 3, 5), (12, 20)),
    "lift-16": ("lift", {"in_channels": 8, "patch_size": 16}, (3, 48, 32), (8, 3, 2), (6, 4)),
    "featup": ("featup", {"feat_dim": 6}, (3, 30, 44), (6, 2, 3), None),
    "featup-no-norm": ("featup", {"feat_dim": 6, "use_norm": False}, (3, 50, 30), (6, 3, 2), None),
}

# Arguments of a small upsampler for the backbone of conftest.SMALL: 16 channels, 3x5 patches of 8 pixels.
SMALL = {
    "jafar": {"qk_dim": 16, "num_heads": 2},
    "anyup": {"qk_dim": 16},
    "naf": {"dim": 16, "kernel_size": 3, "heads_rope": 2},
    "loftup": {"n_freqs": 3, "num_heads": 4},
}


def scattered(module):
    """No weight at a value where it would not matter."""
    randomise(module)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim < 2:
                parameter += 0.2 * torch.randn_like(parameter)
    return module


def write_case(directory, name):
    """A case as `parity` reads it, with the second implementation's output."""
    kind, arguments, image, features, size = CASES[name]
    directory = directory / name
    directory.mkdir()
    upsampler = scattered(upsampler_of(kind, arguments))
    inputs = {"image": torch.randn(2, *image), "features": torch.randn(2, *features)}
    with torch.inference_mode():
        output = PLAIN[kind](dict(upsampler.state_dict()), *inputs.values(), size, **arguments)
    (directory / "config.yaml").write_text(yaml.safe_dump(arguments))
    description = {"system": kind, "channel_stride_of_stored_outputs": 2}
    description |= {} if size is None else {"output_size": size}
    (directory / "case.json").write_text(json.dumps(description))
    save_file(upsampler.state_dict(), directory / "weights.safetensors")
    save_file({**inputs, "output": output[:, ::2].contiguous()}, directory / "case.safetensors")
    return directory


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_two_implementations_agree(name, seed, tmp_path):
    torch.manual_seed(seed)
    differences = compare(write_case(tmp_path, name))
    assert [row.model for row in differences] == ["readable", "fast"]
    assert all(row.value <= 2e-5 for row in differences), differences


def test_the_command(tmp_path, capsys):
    case = write_case(tmp_path, "jafar")
    assert main(["parity", str(tmp_path)]) == 0
    assert "jafar                    fast      output" in capsys.readouterr().out
    tensors = load_file(case / "case.safetensors")
    tensors["output"][0, 1, 2, 3] += 2e-4  # beyond the readable model's bar alone
    save_file(tensors, case / "case.safetensors")
    assert main(["parity", str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("1 outputs disagree\n")
    (case / "config.yaml").write_text("{v_dim: 12, qk_dim: 16, heads: 2}")
    assert main(["parity", str(tmp_path)]) == 2
    assert "upsampler jafar: " in capsys.readouterr().err


@pytest.mark.parametrize("kind", PLAIN)
def test_a_checkpoint_loads_strictly(kind, tmp_path):
    arguments = CASES[kind][1]
    upsampler = upsampler_of(kind, arguments)
    state = {name: value.clone() for name, value in upsampler.state_dict().items()}
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    first, last = names[0], names[-1]
    with pytest.raises(WeightsError, match=f"missing: {first} "):
        load_strict(upsampler, {k: v for k, v in state.items() if k != first}, "file")
    renamed = {f"{k}s" if k == last else k: v for k, v in state.items()}
    with pytest.raises(WeightsError, match=f"missing: {last} .*; surplus: {last}s "):
        load_strict(upsampler, renamed, "file")
    with pytest.raises(WeightsError, match=rf"of another shape: {last} \[7\] \(expected: "):
        load_strict(upsampler, {**state, last: torch.zeros(7)}, "file")
    others = {f"{prefix}weight": torch.zeros(3) for prefix in upsampler.ignored}
    behind = {f"module.{name}": value for name, value in state.items()}
    for stored in ({"epoch": 3, "state_dict": {**state, **others}}, {kind: state}, {"model": behind}, behind):
        torch.save(stored, tmp_path / "published.pth")
        fresh = upsampler_of(kind, arguments)
        load_strict(fresh, read_state_dict(tmp_path / "published.pth"), "file", upsampler.ignored)
        assert all(torch.equal(value, state[name]) for name, value in fresh.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "arguments", "millions"),
    [
        ("anyup", {}, 0.878),
        ("jafar", {"v_dim": 384}, 0.628),
        ("naf", {}, 0.663),
        ("loftup", {"dim": 384}, 4.304),
        ("lift", {"in_channels": 384, "patch_size": 16}, 1.187),
        ("featup", {"feat_dim": 384}, 0.174),
    ],
)
def test_the_published_size(kind, arguments, millions):
    with torch.device("meta"):
        upsampler = upsampler_of(kind, arguments)
    assert round(sum(p.numel() for p in upsampler.parameters()) / 1e6, 3) == millions


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_a_head_may_be_read_earlier(name):
    kind, arguments, image, features, size = CASES[name]
    upsampler = scattered(upsampler_of(kind, arguments))
    image, features = torch.randn(2, *image), torch.randn(2, *features)
    weight, bias = torch.randn(3, features.shape[1]), torch.randn(3)
    size = size or upsampler.size_for((1, 1), tuple(image.shape[2:]), tuple(features.shape[2:]))
    whole = torch.einsum("kc,nchw->nkhw", weight, upsampler(image, features, size)) + bias[:, None, None]
    read = upsampler.read(upsampler.guide(image, features), features, size, weight, bias)
    torch.testing.assert_close(read, whole, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_change_no_numbers(name, monkeypatch):
    """Without them maps are written in place and by bands."""
    monkeypatch.setattr(base, "BAND", 500)
    kind, arguments, image, features, size = CASES[name]
    upsampler = scattered(upsampler_of(kind, arguments))
    image, features = torch.randn(2, *image), torch.randn(2, *features)
    size = size or upsampler.size_for((1, 1), tuple(image.shape[2:]), tuple(features.shape[2:]))
    with torch.enable_grad():
        expected = upsampler(image, features, size)
    assert expected.requires_grad
    with torch.no_grad():
        found = upsampler(image, features, size)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("rope", [attention.EdgeRope(8), naf.Rope(8, 1, 100.0)])
def test_mixed_precision_keeps_neighbouring_places_apart(rope):
    ones = torch.ones(1, 8, 448, 448)
    with torch.autocast("cpu", torch.bfloat16):
        found = rope(ones.bfloat16())
    assert found.dtype == torch.bfloat16
    # 0.008, since cosine, sine, products and sums are rounded; 0.017 and 0.033 where places are, too.
    assert (found - rope(ones)).abs().max() < 0.012


@pytest.mark.parametrize("name", ["jafar", "anyup", "loftup"])
@torch.inference_mode()
def test_bands_of_queries_do_not_matter(name, monkeypatch):
    kind, arguments, image, features, size = CASES[name]
    upsampler = scattered(upsampler_of(kind, arguments))
    image, features = torch.randn(2, *image), torch.randn(2, *features)
    expected = upsampler(image, features, size)
    monkeypatch.setattr(attention, "SCORES", 1000)
    monkeypatch.setattr(attention, "BLOCKS", 2)
    monkeypatch.setattr(loftup, "SCORES", 1000)
    monkeypatch.setattr(loftup, "BAND", 7)
    torch.testing.assert_close(upsampler(image, features, size), expected, rtol=1e-5, atol=1e-5)


def small_model(kind, directory):
    configuration = write(directory, upsampler={"kind": kind, **SMALL.get(kind, {})})
    return scattered(DenseModel(ModelConfig.load(configuration)))


@pytest.mark.parametrize("kind", UPSAMPLERS)
@torch.inference_mode()
def test_the_graph_gives_the_readable_models_numbers(kind, tmp_path):
    model = small_model(kind, tmp_path)
    pixels = torch.from_numpy(frames(3))
    images = Normalise(torch.float32, model.config)(pixels)
    # A frame in a bundle has no part in another's output.
    each = [model(image[None]) for image in images]
    expected = {head.name: torch.cat([maps[head.name] for maps in each]) for head in model.config.heads}
    export_variant(model, VARIANTS[0], tmp_path)
    files = VARIANTS[0].manifest()
    backbone, upsampler = (torch.jit.load(str(tmp_path / files[p])) for p in ("backbone", "upsampler"))
    assert ": Device = prim::Constant" not in str(upsampler.inlined_graph)
    for count in (1, 3):
        labels, confidence, features, depth, coarse = upsampler(pixels[:count], backbone(pixels[:count]))
        logits = expected["classes"][:count]
        assert (labels == logits.argmax(1)).float().mean() >= 0.999
        torch.testing.assert_close(confidence.float(), logits.softmax(1).amax(1) * 255, rtol=0, atol=0.51)
        for found, head in ((features, "features"), (depth, "depth")):
            wanted = expected[head][:count]
            wanted = wanted.exp() if head == "depth" else wanted
            torch.testing.assert_close(found.float(), wanted, rtol=1e-3, atol=1e-3)
        assert (coarse == expected["coarse"][:count].argmax(1)).float().mean() >= 0.999


@pytest.mark.parametrize("kind", ["jafar", "nearest"])
def test_a_bundle_of_each_variant(kind, tmp_path):
    bundle = export_bundle(small_model(kind, tmp_path), tmp_path / "bundle")
    assert bundle.manifest["upsampler"] == {"kind": kind}
    for variant in ("cpu-fp32", "cpu-bf16"):
        assert min(bundle.verify(variant).values()) >= 0.98


def test_from_the_command_line(tmp_path, capsys):
    """Weights under the published names, from where the configuration says."""
    model = small_model("anyup", tmp_path)
    torch.save(model.upsampler.state_dict(), tmp_path / "anyup.pth")
    save_file(model.backbone.state_dict(), tmp_path / "backbone.safetensors")
    save_file(model.heads.state_dict(), tmp_path / "heads.safetensors")
    configuration = write(tmp_path, upsampler={"kind": "anyup", **SMALL["anyup"], "weights": "anyup.pth"})
    export = ["export", "--config", str(configuration), "--output", str(tmp_path / "bundle")]
    assert main([*export, "--weights", str(tmp_path)]) == 0
    pixels = torch.from_numpy(frames(1))
    with torch.inference_mode():
        logits = model(Normalise(torch.float32, model.config)(pixels))["classes"]
    labels = torch.from_numpy(Bundle.load(tmp_path / "bundle").run("cpu-fp32", pixels.numpy())[0])
    assert (labels == logits.argmax(1)).float().mean() >= 0.999
    assert main([*export, "--random", "0", "--int8", str(tmp_path)]) == 2
    assert "--int8: upsampler anyup (expected: uplift)" in capsys.readouterr().err


def test_without_weights_there_is_nothing_to_load(tmp_path):
    model = small_model("bilinear", tmp_path)
    for part in ("backbone", "heads"):
        save_file(getattr(model, part).state_dict(), tmp_path / f"{part}.safetensors")
    loaded = DenseModel.load(model.config, tmp_path)
    image = torch.randn(1, 3, 24, 40)
    expected = resize(model.heads["classes"](model.backbone(image)), (24, 40))
    torch.testing.assert_close(loaded(image)["classes"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("upsampler", "sentence"),
    [
        ({"kind": "cubic"}, "upsampler.kind: 'cubic' (expected: uplift or lift or "),
        ({"kind": "jafar", "steps": 3}, "upsampler jafar: "),
        ({"kind": "naf"}, "upsampler naf: 3 features for 24 pixels of an axis (expected: "),
        ({"kind": "loftup", "lr_pe_type": "cosine"}, "lr_pe_type: 'cosine' (expected one of "),
    ],
)
def test_a_wrong_upsampler_is_a_sentence(upsampler, sentence, tmp_path):
    with pytest.raises(ValueError) as error:
        ModelConfig.load(write(tmp_path, upsampler=upsampler))
    assert sentence in str(error.value)


def test_lift_is_for_patches_of_8_and_16(tmp_path):
    vit = {"patch": 4, "dim": 16, "depth": 1, "heads": 2, "grid": [6, 10]}
    with pytest.raises(ValueError, match=r"upsampler lift: patch 4 \(expected of the backbone: 8 or 16\)"):
        ModelConfig.load(write(tmp_path, backbone={"vit": vit}, upsampler={"kind": "lift"}))


@pytest.mark.parametrize("kind", SMALL | {"lift": {}, "featup": {}})
def test_every_kind_that_learns_learns(kind, tmp_path):
    """Steps on one example, with targets at single pixels and without, bring the error down."""
    config = small_model(kind, tmp_path).config
    upsampler = config.upsampler().train()
    images, features = torch.randn(2, 3, 24, 40), torch.randn(2, 16, 3, 5)
    plain = [torch.randn(2, 16, 6, 10), torch.randn(2, 16, 12, 20)]
    moved = (torch.randn(2, 16, 6, 10), torch.full((2, 2), 0.375))
    optimiser = torch.optim.Adam(upsampler.parameters(), lr=0.003)
    for _, error in LOSSES.values():
        for example in (Example(images, features, plain, None), Example(images, features, plain, moved)):
            first, bilinear = example.errors(upsampler, 3, error)
            assert bilinear > 0
            for _ in range(4):
                loss, _ = example.errors(upsampler, 3, error)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            assert loss < first


@pytest.mark.parametrize("function", [featup.NeighbourSum, featup.NeighbourProducts])
def test_featups_bands_have_the_gradients_of_the_plain_ones(function):
    padded = torch.randn(2, 3, featup.ROWS + 9, 11, dtype=torch.double, requires_grad=True)
    if function is featup.NeighbourSum:
        other = torch.randn(2, 49, featup.ROWS + 3, 5, dtype=torch.double, requires_grad=True)
        inputs = (padded, other)
        wanted = sum(x * other[:, i : i + 1] for i, x in enumerate(featup.windows(padded)))
    else:
        other = torch.randn(2, 3, featup.ROWS + 3, 5, dtype=torch.double, requires_grad=True)
        inputs = (other, padded)
        wanted = torch.stack([(x * other).sum(dim=1) for x in featup.windows(padded)], dim=1)
    found = function.apply(*inputs)
    gradient = torch.randn_like(wanted)
    torch.testing.assert_close(found, wanted)
    for a, b in zip(*(torch.autograd.grad(y, inputs, gradient) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b)


def test_mixed_precision_keeps_featups_logits(monkeypatch):
    types = []
    products = featup.products
    monkeypatch.setattr(featup, "products", lambda x, y: types.extend([x.dtype, y.dtype]) or products(x, y))
    with torch.autocast("cpu", torch.bfloat16):
        featup.JointBilateral().kernel(torch.randn(1, 3, 16, 16), (16, 16))
    assert types == [torch.float32] * 2


def test_naf_encodes_an_image_once_for_several_sizes():
    upsampler = scattered(upsampler_of("naf", {"dim": 16, "kernel_size": 3, "heads_rope": 2}))
    calls = []
    upsampler.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    image, features = torch.randn(1, 3, 32, 48), torch.randn(1, 8, 4, 6)
    together = upsampler.maps(image, features, [(32, 48), (16, 24), (8, 12)])
    assert len(calls) == 1
    for found in together:
        torch.testing.assert_close(found, upsampler(image, features, tuple(found.shape[2:])))
    calls.clear()
    upsampler(image, features, (6, 9))
    assert len(calls) == 1  # of the smaller image, and not of the whole one


def test_the_error_of_directions():
    """JAFAR's: by hand, for two places of two channels."""
    found, wanted = torch.tensor([[[3.0, 0.0], [4.0, 1.0]]]), torch.tensor([[[4.0, 0.0], [3.0, 2.0]]])
    scaled = ((3 - 3 - 1) ** 2 + (4 - 3) ** 2 + 0 + (0.5 - 1) ** 2) / 4
    assert float(LOSSES["cosine"][1](found, wanted)) == pytest.approx(
        1 - (24 / 25 + 1) / 2 + scaled, abs=1e-4
    )
