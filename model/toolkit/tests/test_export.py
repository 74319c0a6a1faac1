"""A bundle as the JVM meets it: any batch size, any device, the readable model's numbers."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import frames, randomise, save_weights, write
from PIL import Image

from uplift_toolkit.__main__ import main
from uplift_toolkit.bundle import TOLERANCE, VARIANTS, Bundle, cosine
from uplift_toolkit.export import calibration_images, export_bundle, export_variant, trace
from uplift_toolkit.graph import Normalise, finish
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import IMAGENET, DenseModel, ModelConfig
from uplift_toolkit.onednn import convolves_integers

needs_int8 = pytest.mark.skipif(not convolves_integers(), reason="this PyTorch does not convolve integers")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    directory = tmp_path_factory.mktemp("photos")
    for i, frame in enumerate(frames(70, seed=3)):
        Image.fromarray(frame).save(directory / f"{i:02}.png")
    return directory


@pytest.fixture(scope="module")
def all_variants(model, photos, tmp_path_factory):
    """A bundle with cpu-int8 where that can be made."""
    images = calibration_images(photos) if convolves_integers() else []
    return export_bundle(model, tmp_path_factory.mktemp("bundle") / "all", calibration=images)


@torch.inference_mode()
def test_fp32_gives_the_readable_models_numbers(bundle, model):
    pixels = frames(2)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / deviation
    expected = model(images)
    labels, confidence, features, depth, coarse = bundle.run("cpu-fp32", pixels)
    share, best = expected["classes"].softmax(1).max(1)
    assert (labels == best.numpy()).mean() >= 0.999
    np.testing.assert_allclose(confidence, share.numpy() * 255, atol=0.51)
    np.testing.assert_allclose(features, expected["features"].numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(depth, expected["depth"].exp().numpy(), rtol=1e-3, atol=1e-3)
    assert (coarse == expected["coarse"].argmax(1).numpy()).all()


@pytest.mark.parametrize("confidence", [False, True])
def test_a_pixel_whose_largest_logit_is_not_finite_has_no_class(confidence):
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 1] = torch.tensor([1, torch.nan, torch.inf, -torch.inf])
    head = HeadConfig("classes", "segmentation", 3, confidence=confidence)
    assert finish(head, logits)[0].flatten().tolist() == [1, 255, 255, 0]


@pytest.mark.parametrize(
    "variant", ["cpu-fp32", "cpu-bf16", "cuda-fp16", pytest.param("cpu-int8", marks=needs_int8)]
)
@torch.inference_mode()
def test_any_batch_size(all_variants, variant):
    """The fp16 graph is run on the CPU here: nothing in it says cuda."""
    bundle = all_variants
    entry = next(v for v in bundle.manifest["variants"] if v["name"] == variant)
    backbone, upsampler = (
        torch.jit.load(str(bundle.directory / entry[p])) for p in ("backbone", "upsampler")
    )
    pixels = torch.from_numpy(frames(3))

    def run(batch):
        features = backbone(batch)
        assert features.dtype == (torch.float16 if variant == "cuda-fp16" else torch.float32)
        outputs = upsampler(batch, features)
        assert [tuple(output.shape[1:]) for output in outputs] == [
            (24, 40),
            (24, 40),
            (5, 6, 10),
            (1, 12, 20),
            (3, 5),
        ]
        f16, u8 = torch.float16, torch.uint8
        assert [output.dtype for output in outputs] == [u8, u8, f16, f16, u8]
        assert all(output.is_contiguous() for output in outputs)
        return outputs

    together = run(pixels)
    for count in (1, 2, 3):
        for part, whole in zip(run(pixels[:count]), together, strict=True):
            assert len(part) == count
            near = torch.isclose(part.float(), whole[:count].float(), rtol=0.02, atol=0.02)
            assert near.float().mean() > 0.98


def device_constants(graph):
    return [line for line in str(graph).splitlines() if ": Device = prim::Constant" in line]


def test_no_device_inside_the_graphs(all_variants):
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x + torch.zeros(x.shape[0])

    assert device_constants(trace(Fixed(), torch.ones(2)).inlined_graph), "the search below finds nothing"
    for variant in all_variants.manifest["variants"]:
        for part in ("backbone", "upsampler"):
            graph = torch.jit.load(str(all_variants.directory / variant[part])).inlined_graph
            assert device_constants(graph) == [], (variant["name"], part)


@needs_int8
def test_int8(all_variants):
    """Integers in the upsampler alone, which is another computation, but as good a one."""
    entry = all_variants.manifest["variants"][-1]
    assert entry == {
        "name": "cpu-int8",
        "device": "cpu",
        "precision": "int8",
        "backbone": "cpu-fp32/backbone.pt",
        "upsampler": "cpu-int8/upsampler.pt",
    }
    graph = str(torch.jit.load(str(all_variants.directory / entry["upsampler"])).inlined_graph)
    assert graph.count("onednn::qconv2d_pointwise") > 10
    outputs, exact = (all_variants.run(variant, frames(4)) for variant in ("cpu-int8", "cpu-fp32"))
    assert (outputs[0] == exact[0]).mean() >= 0.99
    assert cosine(outputs[2], exact[2]) > 0.999
    assert not (outputs[2] == exact[2]).all()


def test_images_of_a_calibration_are_from_all_over(photos, tmp_path):
    names = [path.name for path in calibration_images(photos)]
    assert len(names) == 24  # of 70: every third, to be at most 32
    assert names[:3] == ["00.png", "03.png", "06.png"]
    with pytest.raises(ValueError, match=r"no frames \(expected: "):
        calibration_images(tmp_path)


@needs_int8
def test_int8_from_the_command_line(photos, tmp_path, capsys):
    output = tmp_path / "bundle"
    arguments = ["export", "--config", str(write(tmp_path)), "--random", "0", "--output", str(output)]
    assert main([*arguments, "--int8", str(photos)]) == 0
    said = capsys.readouterr()
    assert "cpu-int8: ranges of 24 images" in said.err
    assert "\n  cpu-int8   " in said.out


def test_the_readable_graphs_as_a_bundle(bundle, model, tmp_path):
    """What `./uplift bench model --against` compares with: the same answers, from other graphs."""
    readable = export_bundle(model, tmp_path / "readable", readable=True)
    assert readable.manifest["name"] == "small-readable"
    assert readable.manifest["heads"] == bundle.manifest["heads"]
    assert [variant["name"] for variant in readable.manifest["variants"]] == ["cpu-fp32"]
    readable.verify("cpu-fp32")
    pixels = frames(3)
    fast = bundle.outputs_by_head(bundle.run("cpu-fp32", pixels))
    for name, plain in readable.outputs_by_head(readable.run("cpu-fp32", pixels)).items():
        if plain.dtype == np.uint8:
            assert (plain == fast[name]).mean() >= 0.999
        else:
            np.testing.assert_allclose(plain, fast[name], rtol=1e-3, atol=1e-3)
    graphs = [torch.jit.load(str(b.directory / "cpu-fp32" / "upsampler.pt")) for b in (readable, bundle)]
    assert str(graphs[0].inlined_graph) != str(graphs[1].inlined_graph)
    assert device_constants(graphs[0].inlined_graph) == []


def test_a_reduced_precision_that_is_not_exact_enough_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(TOLERANCE, "bf16", {"labelAgreement": 1.1, "cosine": 0.999})
    output = tmp_path / "bundle"
    assert main(["export", "--config", str(write(tmp_path)), "--random", "0", "--output", str(output)]) == 0
    assert "cpu-bf16   left out: cpu-bf16, head classes: agreement" in capsys.readouterr().out
    bundle = Bundle.load(output)
    assert [variant["name"] for variant in bundle.manifest["variants"]] == ["cpu-fp32", "cuda-fp16"]
    assert not (output / "cpu-bf16").exists()
    assert not any(name.startswith("cpu-bf16") for name in bundle.manifest["files"])
    bundle.verify("cpu-fp32")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_logarithm_that_is_too_large_gives_the_largest_number(dtype):
    head = HeadConfig("depth", "regression", 1, log=True, dtype=dtype)
    [x] = finish(head, torch.tensor([0.0, 11.0, 12.0, 100.0, torch.nan]))
    assert x.dtype == getattr(torch, dtype)
    assert x[:4].isfinite().all() and x[4].isnan() and x[3] == torch.finfo(x.dtype).max


def test_an_export_has_nothing_of_an_earlier_one(model, bundle, tmp_path):
    output = shutil.copytree(bundle.directory, tmp_path / "bundle")
    shutil.copytree(output / "cpu-fp32", output / "cpu-int8")
    (output / "notes.txt").write_text("mine")
    again = export_bundle(model, output, readable=True)
    assert sorted(path.name for path in output.iterdir() if path.is_dir()) == ["cpu-fp32", "golden"]
    assert (output / "notes.txt").is_file()
    assert [name for name in again.manifest["files"] if not name.startswith("golden/")] == [
        "cpu-fp32/backbone.pt",
        "cpu-fp32/upsampler.pt",
        "labels.json",
    ]


@torch.inference_mode()
def test_patch_14_registers_and_interpolated_positions(tmp_path):
    """What a DINOv2 bundle needs: resizes of image and result, in precisions whose CPU kernels lack them."""
    vit = {
        "patch": 14,
        "dim": 16,
        "depth": 1,
        "heads": 2,
        "grid": [5, 5],
        "registers": 2,
        "position_prefix": False,
    }
    changes = {"backbone": {"vit": vit}, "input": {"width": 112, "height": 56}}
    changes["upsampler"] = {
        "steps": 4,
        "uplift": {"neighbours": 9, "encoder": [4, 4, 6, 6, 6], "decoder": 12},
    }
    model = randomise(DenseModel(ModelConfig.load(write(tmp_path, **changes))))
    pixels = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (1, 56, 112, 3), np.uint8))
    expected = model(Normalise(torch.float32, model.config)(pixels))["features"].numpy()
    for variant in VARIANTS:
        export_variant(model, variant, tmp_path)
        files = variant.manifest()
        backbone, upsampler = (
            torch.jit.load(str(tmp_path / files[part])) for part in ("backbone", "upsampler")
        )
        outputs = upsampler(pixels, backbone(pixels))
        assert outputs[0].shape == (1, 56, 112)
        assert cosine(outputs[2].numpy(), expected) > 0.999
        assert "bicubic" not in str(backbone.inlined_graph)  # positions are interpolated once, at export


@torch.inference_mode()
def test_rotary_positions(tmp_path):
    """What a DINOv3 bundle needs: positions computed once, at export, and any batch."""
    vit = {"patch": 8, "dim": 16, "depth": 2, "heads": 2, "registers": 2, "positions": "rotary"}
    vit |= {"qkv_bias": False, "mlp": "swiglu", "mlp_width": 24}
    model = randomise(DenseModel(ModelConfig.load(write(tmp_path, backbone={"vit": vit}))))
    pixels = torch.from_numpy(frames(3))
    expected = model.backbone(Normalise(torch.float32, model.config)(pixels))
    for variant, tolerance in zip(VARIANTS, (1e-5, 0.1, 0.02), strict=True):
        export_variant(model, variant, tmp_path)
        backbone = torch.jit.load(str(tmp_path / variant.manifest()["backbone"]))
        for n in (1, 2, 3):
            found = backbone(pixels[:n]).float()
            torch.testing.assert_close(found, expected[:n], rtol=0, atol=tolerance)
        graph = backbone.inlined_graph
        assert "aten::sin" not in str(graph)
        assert device_constants(graph) == []


def test_command(model, tmp_path):
    """From checkpoint files, in a process of its own, saying how it goes but not a word about deprecation."""
    save_weights(model, tmp_path)
    for name, color in (("a", (255, 0, 0)), ("b", (0, 90, 0)), ("c", (9, 9, 9))):
        Image.new("RGB", (64, 48), color).save(tmp_path / f"{name}.png")
    golden = [str(tmp_path / f"{name}.png") for name in "abc"]
    command = [sys.executable, "-m", "uplift_toolkit", "export", "--config", str(write(tmp_path))]
    command += ["--weights", str(tmp_path), "--output", str(tmp_path / "out"), "--golden", *golden]
    environment = {key: value for key, value in os.environ.items() if key != "UPLIFT_OPERATORS"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, *steps = done.stderr.splitlines()
    assert first == "loading the weights …"
    [other] = [step for step in steps if not re.fullmatch(r".* … \d+\.\d s", step)]
    assert other.startswith("cuda-fp16: the portable graph alone: no library of operators (")
    said = [step.partition(" …")[0] for step in steps]
    for variant in VARIANTS:
        assert f"{variant.name}: tracing the upsampler" in said
        assert f"{variant.name}: writing {variant.name}/backbone.pt" in said
    assert said[-1].endswith(": checking the golden case")
    assert "cpu-bf16" in done.stdout
    assert "cuda-fp16  not checked: no CUDA device here" in done.stdout or torch.cuda.is_available()
    assert Bundle.load(tmp_path / "out").frames()[:, 5, 5].tolist() == [[255, 0, 0], [0, 90, 0], [9, 9, 9]]


def test_command_without_weights(tmp_path, capsys):
    arguments = [
        "export",
        "--config",
        str(write(tmp_path)),
        "--weights",
        str(tmp_path),
        "--output",
        str(tmp_path),
    ]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith(
        f"export: weights: {tmp_path}/backbone.safetensors: no such file (train-backbone makes it"
    )
    assert error[:-1] == ["loading the weights …"]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist\\nand more')",
            "export: timm cannot be imported: RuntimeError: operator torchvision::nms does not exist"
            f" (expected: a torchvision of the same build as torch {torch.__version__}; ",
        ),
        ("import torchvision_of_nobody", "export: timm cannot be imported: ModuleNotFoundError: No module"),
        ("raise ModuleNotFoundError('No timm', name='timm')", "export: timm: not installed (expected: pip "),
    ],
)
def test_a_broken_timm_is_one_sentence(broken, sentence, tmp_path, monkeypatch, capsys):
    (tmp_path / "timm.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    backbone = {"timm": {"name": "vit_tiny_patch16_224", "dim": 192, "patch": 8}}
    config = write(tmp_path, backbone=backbone)
    assert main(["export", "--config", str(config), "--random", "0", "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[0] == "making random weights …"
    assert error[1].startswith(sentence)
    assert len(error) == 2


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    out = capsys.readouterr().out
    for word in ("backbone.safetensors", "heads.safetensors", "cpu-bf16", "examples:", "--golden"):
        assert word in out


def test_without_the_library_of_operators_a_bundle_is_portable(model, tmp_path, capsys):
    bundle = export_bundle(model, tmp_path / "bundle")
    assert not any("operators" in entry for entry in bundle.manifest["variants"])
    assert "cuda-fp16: the portable graph alone: no library of operators" in capsys.readouterr().err


def test_what_is_no_library_of_operators_is_refused(tmp_path, capsys):
    (tmp_path / "text.so").write_text("no library")
    arguments = ["--config", "none.yaml", "--random", "0", "--output", str(tmp_path / "bundle")]
    assert main(["export", *arguments, "--operators", str(tmp_path / "text.so")]) == 2
    assert "(expected: what model/cuda/build makes)" in capsys.readouterr().err
