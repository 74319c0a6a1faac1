"""The fast graph gives the readable model's numbers, and does not do the readable model's work."""

import pytest
import torch
import yaml
from conftest import CASES, PARITY, randomise
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from uplift_toolkit.bench import model
from uplift_toolkit.bundle import Variant
from uplift_toolkit.fast import BandedResize, FastUplift, Readout
from uplift_toolkit.fast.pools import GatheredPool
from uplift_toolkit.fast.products import FeatureProducts
from uplift_toolkit.graph import UpsamplerGraph
from uplift_toolkit.parity import FAST_BAR, compare
from uplift_toolkit.uplift import NEIGHBOURHOODS, Uplift, resize, uplift_config


def model_and_inputs(neighbours=17, grid=(3, 5), patch=8, channels=12, encoder=(4, 6, 8, 8), decoder=20, n=1):
    uplift = randomise(Uplift(uplift_config(channels, patch, neighbours, encoder, decoder)))
    image = torch.randn(n, 3, grid[0] * patch, grid[1] * patch)
    return uplift, image, torch.randn(n, channels, *grid)


def difference(uplift, image, features, readouts, **options):
    """The largest of all readouts' differences from the head applied to the readable model's output."""
    graph = FastUplift(uplift, image.shape[2:], features.shape[2:], readouts, **options)
    steps = [features, *uplift(image, features, max(r.step for r in readouts))]
    expected = []
    for readout in readouts:
        x = steps[readout.step]
        if readout.weight is not None:
            x = torch.einsum("kc,nchw->nkhw", readout.weight, x) + readout.bias[:, None, None]
        expected.append(x)
    found = graph(image, features)
    assert [tuple(x.shape) for x in found] == [tuple(x.shape) for x in expected]
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def head(step, width, channels=12):
    return Readout(step, torch.randn(width, channels), torch.randn(width))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_agrees_with_the_authors_code(case):
    differences = [row for row in compare(case) if row.model == "fast"]
    assert len(differences) >= 3
    assert all(row.value <= FAST_BAR for row in differences), differences


@pytest.mark.parametrize("neighbours", sorted(NEIGHBOURHOODS))
@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (7, 2)])
@torch.inference_mode()
def test_identity_heads_at_every_step(neighbours, grid):
    uplift, image, features = model_and_inputs(neighbours, grid, n=2)
    assert difference(uplift, image, features, [Readout(step) for step in (0, 1, 2, 3)]) < 2e-5


READOUTS = (
    [head(3, 4), head(3, 1)],  # two share one pooling
    [head(3, 4), head(1, 5), head(2, 1)],  # several strides, not in order
    [head(2, 3), Readout(2), head(0, 2)],  # beside the features themselves
    [Readout(3)],
    [head(0, 2)],  # nothing is upsampled
)


@pytest.mark.parametrize("neighbours", sorted(NEIGHBOURHOODS))
@torch.inference_mode()
def test_heads_pooled_before_the_last_attender(neighbours):
    uplift, image, features = model_and_inputs(neighbours)
    for readouts in READOUTS:
        assert difference(uplift, image, features, readouts) < 2e-5


@pytest.mark.parametrize("neighbours", sorted(NEIGHBOURHOODS))
@pytest.mark.parametrize("grid", [(1, 1), (3, 5)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@torch.inference_mode()
def test_wide_features_are_upsampled_as_what_is_read_of_them(neighbours, grid, device):
    uplift, image, features = model_and_inputs(neighbours, grid, decoder=5, n=2)
    for readouts in (*READOUTS[:2], [head(2, 3), Readout(1)]):
        graph = FastUplift(uplift, image.shape[2:], features.shape[2:], readouts, device)
        assert (graph.products is None) == (readouts[-1].weight is None)  # all is read of them
        assert difference(uplift, image, features, readouts, device=device) < 2e-5


@pytest.mark.parametrize("band", [1, 2, 5])
@torch.inference_mode()
def test_taps_summed_by_bands_of_rows(band, monkeypatch):
    monkeypatch.setattr(FeatureProducts, "BAND", band)  # of 3, 6 and 12 rows
    uplift, image, features = model_and_inputs(decoder=5, n=2)
    assert difference(uplift, image, features, [head(1, 2), head(3, 4)]) < 2e-5


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({}, 17 * 24 * 40),  # the attention's weights
        ({"pool_products": False}, 400 * 12 * 20),  # features
    ],
)
@torch.inference_mode()
def test_wide_features_are_not_upsampled_themselves(options, largest):
    uplift, image, features = model_and_inputs(channels=400, decoder=4)
    graph = FastUplift(uplift, image.shape[2:], features.shape[2:], [head(3, 3, 400)], **options)
    with LargestTensor() as found:
        graph(image, features)
    assert found.numel == largest
    assert difference(uplift, image, features, [head(3, 3, 400)], **options) < 1e-4


@pytest.mark.parametrize("decoder", [6, 30])
@torch.inference_mode()
def test_attender_folded_when_guide_is_narrower_or_wider_than_the_neighbourhood(decoder):
    uplift, image, features = model_and_inputs(decoder=decoder)
    assert difference(uplift, image, features, [Readout(1), head(2, 3)]) < 2e-5


@torch.inference_mode()
def test_patch_14_on_odd_grids():
    uplift, image, features = model_and_inputs(patch=14, grid=(5, 3), encoder=(4, 6, 8, 8, 8))
    assert difference(uplift, image, features, [Readout(1), head(4, 3)]) < 2e-5


@pytest.mark.parametrize("neighbours", sorted(NEIGHBOURHOODS))
@torch.inference_mode()
def test_neighbourhoods_gathered_in_tiles_as_on_a_gpu(neighbours, monkeypatch):
    monkeypatch.setattr(GatheredPool, "TILE_BYTES", 2 * 5 * neighbours * 12 * 4)
    uplift, image, features = model_and_inputs(neighbours, grid=(7, 5), n=2)
    graph = FastUplift(uplift, image.shape[2:], features.shape[2:], [Readout(1)], device="cuda")
    assert graph.pools[0].rows == 2  # of 7
    assert difference(uplift, image, features, [Readout(1), Readout(2), head(2, 3)], device="cuda") < 2e-5


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("size", "out"), [((64, 48), (56, 42)), ((30, 50), (71, 23)), ((5, 3), (1, 40))])
def test_banded_resize_is_the_antialiased_one(size, out, planar):
    x = torch.randn(2, 7, *size)
    rows = x.permute(0, 2, 3, 1)
    bands = list(BandedResize(size, out, planar)(lambda low, high: rows[:, low:high]))
    found = torch.cat(bands, dim=1).permute(0, 3, 1, 2)
    assert found.shape == (2, 7, *out)
    assert float((found - resize(x, out)).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("change", "stride"),
    [
        ({}, 2),
        ({"decoder": {"enc_resample": "bilinear"}}, 1),
        ({"encoder": {"down_2": {"down_op": "max", "factor": 0.5, "residual": "none"}}}, 1),
        ({"encoder": {"block_2": {"block": "SingleConv", "norm": "batch", "count": 2, "hc": [8, 8]}}}, 1),
        ({"encoder": {"block_2": {"block": "DoubleConv", "norm": "batch", "count": 1, "hc": [8]}}}, 1),
    ],
)
@torch.inference_mode()
def test_last_encoder_block_is_strided_only_where_that_is_exact(change, stride):
    config = uplift_config(12, 8, 9, (4, 6, 8), 12)
    for part, options in change.items():
        config["uplift"][part].update(options)
    uplift = randomise(Uplift(config))
    image, features = torch.randn(1, 3, 24, 40), torch.randn(1, 12, 3, 5)
    readouts = [Readout(3)]
    assert FastUplift(uplift, (24, 40), (3, 5), readouts).encoder.blocks[-1].blocks[-1].stride == stride
    assert difference(uplift, image, features, readouts) < 2e-5


@torch.inference_mode()
def test_ratios_that_are_no_power_of_two_are_not_strided():
    uplift, _, features = model_and_inputs()
    image = torch.randn(1, 3, 36, 60)  # three encoder pixels per cell of the last step
    assert FastUplift(uplift, (36, 60), (3, 5), [Readout(3)]).encoder.blocks[-1].blocks[-1].stride == 1
    assert difference(uplift, image, features, [Readout(3)]) < 2e-5


class LargestTensor(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


@torch.inference_mode()
def test_neighbourhood_is_never_materialised():
    uplift, image, features = model_and_inputs(17, (8, 8), channels=72)
    graph = FastUplift(uplift, image.shape[2:], features.shape[2:], [Readout(3)])
    with LargestTensor() as largest:
        (output,) = graph(image, features)
    assert largest.numel == output.numel()  # the plain form: 17 times that


@torch.inference_mode()
def test_all_features_are_neither_multiplied_nor_ever_whole_at_the_finer_grid():
    graph = UpsamplerGraph(model(56, 56, "features"), Variant("cpu", "fp32")).eval()
    assert isinstance(graph.upsampler.heads[0], nn.Identity)  # the head's matrix is
    frames = torch.randint(0, 256, (1, 56, 56, 3), dtype=torch.uint8)
    with LargestTensor() as largest:
        (output,) = graph(frames, torch.randn(1, 384, 4, 4))
    assert largest.numel == output.numel()  # the last step's map has 64x64 pixels, this one 56x56


@torch.inference_mode()
def test_steps_beyond_the_wanted_stride_are_not_run():
    uplift, image, features = model_and_inputs()
    graph = FastUplift(uplift, image.shape[2:], features.shape[2:], [head(1, 3), head(2, 3)])
    assert len(graph.pools) == 2
    with LargestTensor() as largest:
        graph(image, features)
    assert largest.numel == 8 * 24 * 40  # the encoder's maps; no features of the third step


def test_noise_that_is_not_zero_is_refused():
    config = yaml.safe_load((PARITY / "vae" / "config.yaml").read_text())
    config["uplift"]["refiner"]["ncat_s"] = 1
    with pytest.raises(ValueError, match=r"ncat_s: 1.0 \(expected of the fast graph: 0"):
        FastUplift(Uplift(config), (16, 16), (2, 2), [Readout(1)])
