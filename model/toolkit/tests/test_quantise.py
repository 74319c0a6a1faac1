"""Convolutions of 8-bit integers: what they compute, within what a rounding costs."""

import pytest
import torch
from conftest import randomise
from torch import nn

from uplift_toolkit.bench import model
from uplift_toolkit.bundle import INT8
from uplift_toolkit.export import trace
from uplift_toolkit.fast import FastUplift, Readout
from uplift_toolkit.fast import quantise as quantise_module
from uplift_toolkit.fast.blocks import BlockConvs, FastBlock
from uplift_toolkit.fast.quantise import Bytes, QuantisedBlock, QuantisedConvs, quantise
from uplift_toolkit.graph import UpsamplerGraph
from uplift_toolkit.onednn import convolves_integers
from uplift_toolkit.uplift import ConvBlock, Uplift, uplift_config

pytestmark = pytest.mark.skipif(not convolves_integers(), reason="this PyTorch does not convolve integers")


def maps(*channels, n=1, size=(13, 10), scale=1.0):
    return [scale * torch.randn(n, c, *size).to(memory_format=torch.channels_last) for c in channels]


def ranges(convs, inputs):
    """The largest values of the inputs, and of what every convolution after the first reads."""
    hidden = []
    for conv in convs.later():
        conv.register_forward_pre_hook(lambda _, x: hidden.append(float(x[0].max())))
    convs(*inputs)
    return [float(x.abs().max()) for x in inputs], hidden


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("widths", [[8], [12, 5], [3, 4, 6]])
@pytest.mark.parametrize("n", [1, 3])
@torch.inference_mode()
def test_agrees_with_the_convolutions_it_replaces(layers, widths, n):
    convs = BlockConvs(randomise(ConvBlock(layers, sum(widths), 16, "batch", True)), widths, 1)
    inputs = [x * 10**i for i, x in enumerate(maps(*widths, n=n))]  # ranges of their own
    quantised = QuantisedConvs(convs, *ranges(convs, inputs))
    expected, found = convs(*inputs), quantised(*inputs)
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert (found - expected).norm() / (expected - expected.mean()).norm() < 0.03
    assert not torch.equal(found, expected)  # it is another computation


@pytest.mark.parametrize("zero", [0, 128])
@torch.inference_mode()
def test_bytes_are_the_nearest(zero, monkeypatch):
    monkeypatch.setattr(quantise_module, "BAND", 100)  # three rows
    (x,) = maps(4)
    off = Bytes(2 / 127, zero)(x).float() - zero - (x * 127 / 2).clamp(-zero, 255 - zero)
    assert off.abs().max() < 0.501
    assert off.abs().max() > 0.4


@torch.inference_mode()
def test_strided():
    convs = BlockConvs(randomise(ConvBlock(1, 8, 16, "batch", True)), [8], 2)
    inputs = maps(8, size=(12, 8))
    found = QuantisedConvs(convs, *ranges(convs, inputs))(*inputs)
    assert found.shape == (1, 16, 6, 4)
    assert (found - convs(*inputs)).norm() / convs(*inputs).norm() < 0.03


@torch.inference_mode()
def test_channels_are_aligned_for_the_jvms_pytorch():
    convs = BlockConvs(randomise(ConvBlock(2, 9, 24, "batch", True)), [4, 5], 1)
    inputs = maps(4, 5)
    found = QuantisedConvs(convs, *ranges(convs, inputs))
    shapes = [tuple(conv.weight.shape) for conv in (found.first, *found.rest, found.last)]
    assert shapes == [(32, 16, 3, 3), (32, 32, 3, 3), (24, 32, 1, 1)]
    assert found(*inputs).shape[1] == 24


@pytest.mark.parametrize(("width", "stride"), [(8, 1), (8, 2), (13, 1), (5, 1)])  # of 8 channels
@pytest.mark.parametrize("residual", [True, False])
@torch.inference_mode()
def test_a_block_whose_map_stays_bytes(width, stride, residual):
    block = FastBlock(randomise(ConvBlock(1, 8, width, "batch", residual)), [8], stride)
    (x,) = maps(8, n=2, size=(12, 8))
    given = x.clone()
    expected = block(x)
    largest = float(expected.abs().max())
    found = QuantisedBlock(block, QuantisedConvs(block.convs, *ranges(block.convs, [x]), largest))
    bytes_of_x = found.convs.bytes[0](x)
    kept = bytes_of_x.clone()
    for read in (x, bytes_of_x):
        y = found(read)
        assert y.dtype == torch.uint8
        values = (y.float() - 128) * largest / 127
        assert (values - expected).norm() / expected.norm() < 0.03
    assert torch.equal(x, given)
    assert torch.equal(bytes_of_x, kept)  # others read the map, too


@torch.inference_mode()
def test_sums_of_the_largest_products_do_not_overflow():
    """Without VNNI instructions two products are added in 16 bits."""
    block = ConvBlock(2, 32, 32, "batch", False).eval()
    for conv in block.conv:
        if isinstance(conv, nn.Conv2d):
            nn.init.constant_(conv.weight, 1 / conv.weight[0].numel())
    convs = BlockConvs(block, [32], 1)
    inputs = [torch.full((1, 32, 9, 9), 5.0).to(memory_format=torch.channels_last)]
    found = QuantisedConvs(convs, *ranges(convs, inputs))(*inputs)
    torch.testing.assert_close(found[:, :, 4, 4], convs(*inputs)[:, :, 4, 4], rtol=0.01, atol=0)


@torch.inference_mode()
def test_values_beyond_the_ranges_are_cut_off():
    convs = BlockConvs(randomise(ConvBlock(1, 4, 8, "batch", False)), [4], 1)
    inputs = maps(4)
    quantised = QuantisedConvs(convs, *ranges(convs, inputs))
    largest = float(inputs[0].abs().max())
    beyond = [torch.where(x.abs() > largest / 2, x.sign() * 100 * largest, x) for x in inputs]
    cut = [x.clamp(-largest, largest) for x in beyond]
    expected = quantised(*cut)
    assert (quantised(*beyond) - expected).norm() / expected.norm() < 0.02  # -128 is one step below the range


@torch.inference_mode()
def test_labels_of_a_whole_upsampler():
    own = model(56, 56, "segmentation")
    exact, graph = (UpsamplerGraph(own, INT8).eval() for _ in range(2))
    frames = torch.randint(0, 256, (4, 56, 56, 3), dtype=torch.uint8)
    features = torch.randn(4, 384, 4, 4)
    quantise(graph.upsampler, lambda: graph(frames[:2], features[:2]))
    counted = [module for module in graph.modules() if isinstance(module, QuantisedConvs)]
    assert len(counted) == 4 + 2  # encoder but for the block that reads the image, and the decoder's
    assert sum(isinstance(module, QuantisedBlock) for module in graph.modules()) == 4
    found, expected = graph(frames, features)[0], exact(frames, features)[0]
    assert (found == expected).float().mean() >= 0.99
    traced = trace(graph, frames[:2], features[:2])
    assert (traced(frames, features)[0] == found).float().mean() >= 0.999


@pytest.mark.parametrize(
    ("change", "chained"),
    [
        ({}, 2),
        ({"decoder": {"enc_resample": "bilinear"}}, 0),
        ({"encoder": {"down_2": {"down_op": "max", "factor": 0.5, "residual": "none"}}}, 0),
        ({"encoder": {"block_1": {"block": "SingleConv", "norm": "batch", "count": 2, "hc": [8, 8]}}}, 0),
        ({"encoder": {"block_1": {"block": "DoubleConv", "norm": "batch", "count": 1, "hc": [8]}}}, 2),
        ({"encoder": {"block_2": {"block": "SingleConv", "norm": "layer", "count": 1, "hc": [8]}}}, 0),
        ({"decoder": {"block_0": {"block": "DoubleConv", "norm": "batch", "count": 2, "hc": [12, 12]}}}, 2),
        ({"decoder": {"block_0": {"block": "DoubleConv", "norm": "batch", "count": 1, "hc": [16]}}}, 0),
        ({"refiner": {"block_0": {"block": "SingleConv", "norm": "batch", "count": 1, "hc": [12]}}}, 0),
    ],
)
@torch.inference_mode()
def test_maps_stay_bytes_only_where_all_that_reads_them_can(change, chained):
    config = uplift_config(12, 8, 9, (4, 6, 8), 12)
    for part, options in change.items():
        config["uplift"].setdefault(part, {"enc_resample": "nearest"}).update(options)
    uplift = randomise(Uplift(config))
    image, features = torch.randn(2, 3, 24, 40), torch.randn(2, 12, 3, 5)
    exact, graph = (FastUplift(uplift, (24, 40), (3, 5), [Readout(3)]) for _ in range(2))
    quantise(graph, lambda: graph(image, features))
    assert sum(isinstance(module, QuantisedBlock) for module in graph.modules()) == chained
    (expected,), (found,) = exact(image, features), graph(image, features)
    assert (found - expected).norm() / expected.norm() < 0.03
    assert not torch.equal(found, expected)


def test_an_upsampler_without_batch_norms_is_refused():
    config = uplift_config(12, 8, 9, (4, 6, 8, 8), 20)
    for part in (config["uplift"]["encoder"], config["uplift"]["decoder"]):
        for block in part.values():
            if isinstance(block, dict) and "norm" in block:
                block["norm"] = "layer"
    graph = FastUplift(randomise(Uplift(config)), (24, 40), (3, 5), [Readout(2)])
    with pytest.raises(ValueError, match=r"int8: no convolution to quantise \(expected: "):
        quantise(graph, lambda: None)
