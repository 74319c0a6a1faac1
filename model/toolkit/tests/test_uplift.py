"""The readable model: agreement with the authors' code and the properties of the method."""

import copy

import pytest
import torch
import yaml
from conftest import CASES, PARITY, randomise

from uplift_toolkit.parity import READABLE_BAR, compare
from uplift_toolkit.uplift import NEIGHBOURHOODS, Uplift, auto_residual, uplift_config


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_agrees_with_the_authors_code(case):
    differences = [row for row in compare(case) if row.model == "readable"]
    assert len(differences) >= 3
    assert all(row.value <= READABLE_BAR for row in differences), differences


def test_the_published_size():
    model = Uplift(uplift_config(384, 14))
    assert sum(parameter.numel() for parameter in model.parameters()) == 789_521


def test_neighbourhoods_are_those_of_the_paper():
    window = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    assert list(NEIGHBOURHOODS[25]) == window
    assert list(NEIGHBOURHOODS[9]) == [(dy, dx) for dy, dx in window if max(abs(dy), abs(dx)) <= 1]
    diamond = [(dy, dx) for dy, dx in window if abs(dy) + abs(dx) <= 2]
    assert list(NEIGHBOURHOODS[13]) == diamond
    assert list(NEIGHBOURHOODS[5]) == [(dy, dx) for dy, dx in window if abs(dy) + abs(dx) <= 1]
    corners = [(dy, dx) for dy, dx in window if abs(dy) == abs(dx) == 2]
    assert list(NEIGHBOURHOODS[17]) == sorted(diamond + corners)


def test_output_is_a_convex_combination_of_the_features():
    model = randomise(Uplift(uplift_config(6, 8, 17, (4, 4, 4), 8)))
    features = torch.randn(1, 6, 3, 5)
    for output in model(torch.randn(1, 3, 24, 40), features, 3):
        assert (output.amax((2, 3)) <= features.amax((2, 3)) + 1e-6).all()
        assert (output.amin((2, 3)) >= features.amin((2, 3)) - 1e-6).all()
    constant = torch.full((1, 6, 3, 5), 0.7)
    torch.testing.assert_close(
        model(torch.randn(1, 3, 24, 40), constant, 1)[0], torch.full((1, 6, 6, 10), 0.7)
    )


def test_every_step_doubles_and_the_encoder_runs_once():
    model = randomise(Uplift(uplift_config(6, 8, 5, (4, 4, 4), 8)))
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    outputs = model(torch.randn(2, 3, 24, 40), torch.randn(2, 6, 3, 5), 3)
    assert [tuple(output.shape) for output in outputs] == [(2, 6, 6, 10), (2, 6, 12, 20), (2, 6, 24, 40)]
    assert len(calls) == 1


def test_auto_residual_cuts_and_pads():
    a, b = torch.ones(1, 2, 1, 1), torch.ones(1, 3, 1, 1)
    assert auto_residual(a, b).flatten().tolist() == [2, 2, 1]
    assert auto_residual(b, a).flatten().tolist() == [2, 2]


def test_noise_is_drawn_anew_unless_seeded():
    config = yaml.safe_load((PARITY / "vae" / "config.yaml").read_text())
    config["uplift"]["decoder"]["ncat_s"] = config["uplift"]["refiner"]["ncat_s"] = 1
    model = randomise(Uplift(config))
    image, features = torch.rand(1, 3, 16, 24), torch.randn(1, 4, 2, 3)

    def run(generator=None):
        return model(image, features, 1, generator)[0]

    assert not torch.equal(run(), run())
    assert torch.equal(run(torch.Generator().manual_seed(1)), run(torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["attender"], 7, r"attender: 7 \(expected one of \[5, 9, 13, 17, 25\]\)"),
        (["enc_share"], False, r"enc_share: False \(expected one of \[True\]\)"),
        (["encoder", "block_0", "block"], "TripleConv", "block: 'TripleConv'"),
        (["encoder", "block_0", "norm"], "group", "norm: 'group'"),
        (["encoder", "block_0", "count"], 2, "hc: 1 widths"),
        (["decoder", "up_steps"], 2, "up_steps: 2"),
        (["decoder", "enc_resample"], "bicubic", "enc_resample: 'bicubic'"),
    ],
)
def test_options_it_cannot_compute_are_refused(path, value, message):
    config = copy.deepcopy(uplift_config(6, 8, 5, (4, 4), 8))
    target = config["uplift"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        Uplift(config)


def test_wrong_feature_channels():
    with pytest.raises(ValueError, match=r"feature channels: 5 \(expected: 6\)"):
        Uplift(uplift_config(6, 8, 5, (4, 4), 8))(torch.randn(1, 3, 8, 8), torch.randn(1, 5, 1, 1), 1)
