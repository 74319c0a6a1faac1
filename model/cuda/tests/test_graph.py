"""The upsampler's graph with the operators against the toolkit's, on the CPU, with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from uplift_toolkit.bundle import Bundle, Variant, write_manifest
from uplift_toolkit.export import check_operators, export_bundle, save, trace
from uplift_toolkit.graph import UpsamplerGraph
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel, InputConfig, ModelConfig
from uplift_toolkit.operators import OperatorUpsampler
from uplift_toolkit.uplift import uplift_config
from uplift_toolkit.vit import ViTConfig

HEADS = [
    HeadConfig("classes", "segmentation", 19, confidence=True),
    HeadConfig("others", "segmentation", 19),
    HeadConfig("features", "features", 24, dtype="float32"),
    HeadConfig("coarse", "features", 8, stride=2, dtype="float32"),
    HeadConfig("depth", "regression", 1, log=True, dtype="float32"),
]


def model(patch: int, neighbours: int, width: int, height: int) -> DenseModel:
    vit = ViTConfig(patch=patch, dim=24, depth=1, heads=2, grid=(height // patch, width // patch))
    torch.manual_seed(0)
    made = DenseModel(
        ModelConfig(
            name="small",
            version="0",
            description="A model for tests.",
            license="Apache-2.0",
            input=InputConfig(width, height),
            backbone=vit,
            steps=3 if patch == 8 else 4,
            uplift=uplift_config(vit.dim, patch, neighbours, encoder=(8, 8, 16, 16), decoder=16),
            heads=HEADS,
            labels=[{"id": i, "name": f"class {i}", "color": "#000000"} for i in range(19)],
        )
    ).eval()
    made.heads["features"].linear.weight.data = torch.eye(24)[:, :, None, None]
    made.heads["features"].linear.bias.data.zero_()
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    return made


def run(graph: nn.Module, made: DenseModel) -> list[Tensor]:
    size, patch = made.config.input, made.config.backbone.patch
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, size.height, size.width, 3), dtype=torch.uint8, generator=generator)
    features = torch.randn(2, 24, size.height // patch, size.width // patch, generator=generator)
    with torch.inference_mode():
        return list(graph(frames, features))


def assert_agree(outputs: list[Tensor], expected: list[Tensor], labels: float, largest: float) -> None:
    assert len(outputs) == len(expected) == 6
    for x, right in zip(outputs, expected, strict=True):
        assert (x.shape, x.dtype) == (right.shape, right.dtype)
    for i in (0, 2):
        assert (outputs[i] == expected[i]).float().mean() >= labels
    assert (outputs[1].int() - expected[1].int()).abs().max() <= max(1, 255 * largest)
    for i in (3, 4, 5):
        assert (outputs[i] - expected[i]).abs().max() <= largest * expected[i].abs().max()


@pytest.mark.parametrize("patch", [8, 14, 16])
@pytest.mark.parametrize("neighbours", [5, 9, 13, 17, 25])
def test_agrees_with_the_portable_graph(patch, neighbours):
    made = model(patch, neighbours, 5 * patch, 3 * patch)
    expected = run(UpsamplerGraph(made, Variant("cpu", "fp32")), made)
    assert_agree(run(OperatorUpsampler(made, torch.float32).eval(), made), expected, 0.999, 1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_agrees_in_less(dtype):
    made = model(14, 17, 70, 42)
    expected = run(UpsamplerGraph(made, Variant("cpu", "fp32")), made)
    outputs = run(OperatorUpsampler(made, dtype).eval(), made)
    assert_agree(outputs, expected, 0.97, 0.01 if dtype == torch.float16 else 0.1)


def test_a_traced_graph_calls_the_operators(tmp_path: Path):
    made = model(14, 17, 70, 42)
    frames, features = torch.zeros(2, 42, 70, 3, dtype=torch.uint8), torch.zeros(2, 24, 3, 5)
    save(trace(OperatorUpsampler(made, torch.float32), frames, features), tmp_path / "upsampler.pt")
    loaded = torch.jit.load(str(tmp_path / "upsampler.pt"))
    assert "uplift::classify_confidence" in str(loaded.inlined_graph)
    assert_agree(run(loaded, made), run(UpsamplerGraph(made, Variant("cpu", "fp32")), made), 0.999, 1e-4)


def test_a_traced_graph_keeps_the_calls_of_a_gpu():
    made = model(14, 17, 70, 42)
    frames, features = torch.zeros(2, 42, 70, 3, dtype=torch.uint8), torch.zeros(2, 24, 3, 5)
    graph = str(trace(OperatorUpsampler(made, torch.float32), frames, features).inlined_graph)
    assert "aten::cudnn_convolution_relu" in graph and "aten::cudnn_convolution_add_relu" in graph


def test_export_writes_and_checks_the_graphs_of_the_asked_devices(tmp_path: Path):
    made = model(14, 17, 70, 42)
    bundle, lines = check_operators(export_bundle(made, tmp_path, operators=("cuda",)))
    entries = {entry["name"]: entry.get("operators") for entry in bundle.manifest["variants"]}
    file = "cuda-fp16/upsampler-operators.pt"
    assert entries == {
        "cpu-fp32": None,
        "cpu-bf16": None,
        "cuda-fp16": {"upsampler": file, "library": "uplift_operators"},
    }
    assert file in bundle.manifest["files"]
    assert len(lines) == 1 and "cuda-fp16  with operators, on the CPU: " in lines[0]


def test_a_graph_that_is_not_exact_enough_is_left_out(tmp_path: Path):
    bundle = export_bundle(model(14, 17, 70, 42), tmp_path)
    golden = tmp_path / "golden" / "depth.bin"
    (-np.fromfile(golden, np.float32)).tofile(golden)
    write_manifest(tmp_path, bundle.manifest)
    left, lines = check_operators(Bundle.load(tmp_path))
    assert "left out: cuda-fp16, head " in lines[0]
    assert not any("operators" in entry for entry in left.manifest["variants"])
    assert not (tmp_path / "cuda-fp16" / "upsampler-operators.pt").exists()
