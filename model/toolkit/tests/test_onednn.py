"""What stands in for PyTorch's own operators computes the same, where it is wanted."""

import pytest
import torch
from torch import nn

from uplift_toolkit import onednn
from uplift_toolkit.bundle import Variant
from uplift_toolkit.export import trace
from uplift_toolkit.graph import BackboneGraph
from uplift_toolkit.onednn import PatchLinear, PixelLinear, avoid_wide_convolutions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_convolutions_that_the_jvms_pytorch_gets_wrong_are_products(dtype):
    widths = (17, 32, 33, 64, 128, 133, 320)
    convs = nn.ModuleList(nn.Conv2d(5, width, 1, bias=width != 33) for width in widths).to(dtype)
    x = torch.randn(2, 5, 3, 4).to(dtype)
    expected = [conv(x) for conv in convs]
    avoid_wide_convolutions(convs)
    products = [width for width, conv in zip(widths, convs, strict=True) if isinstance(conv, PixelLinear)]
    assert products == ([33, 133, 320] if dtype == torch.float32 else [])
    for conv, wanted in zip(convs, expected, strict=True):
        torch.testing.assert_close(conv(x), wanted)


def test_traced_graphs_have_no_such_convolutions():
    traced = trace(nn.Sequential(nn.Conv2d(5, 33, 1)), torch.randn(1, 5, 3, 4))
    assert "aten::linear" in str(traced.graph)
    assert "aten::_convolution" not in str(traced.graph)


@torch.inference_mode()
def test_a_patch_embedding_as_a_product_is_the_convolution():
    conv = nn.Conv2d(3, 20, 7, stride=7)
    images = torch.randn(2, 3, 21, 35).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(PatchLinear(conv)(images), conv(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scores", [1, 150, 1 << 25])  # bands of 1, 3 and all 11 queries
def test_attention_as_products(scores, monkeypatch):
    monkeypatch.setattr(onednn, "SCORES", scores)
    q, k, v = torch.randn(3, 2, 4, 11, 8)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(onednn.attend(q, k, v), expected)


def test_only_bf16_on_a_cpu_attends_by_products(model):
    frames = torch.zeros(1, 24, 40, 3, dtype=torch.uint8)
    for variant in (Variant("cpu", "fp32"), Variant("cpu", "bf16"), Variant("cuda", "bf16")):
        traced = str(trace(BackboneGraph(model, variant), frames).inlined_graph)
        assert ("aten::scaled_dot_product_attention" in traced) == (variant.name != "cpu-bf16")
