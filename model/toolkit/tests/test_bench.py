"""What the bench compares does the same work; the patch embedding's product is its convolution."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from uplift_toolkit import quantise
from uplift_toolkit.__main__ import main
from uplift_toolkit.bench import ALLOCATOR
from uplift_toolkit.graph import PatchProjection


def test_contenders_agree_and_the_first_is_the_measure(tmp_path, capsys):
    report = tmp_path / "bench.json"
    arguments = ["bench", "fp32", "readable", "int8", "--size", "56x56", "--rounds", "1", "--frames", "1"]
    assert main([*arguments, "--warmup", "1", "--threads", "1", "--json", str(report)]) == 0
    rows = json.loads(report.read_text())["contenders"]
    assert rows["readable"]["agreement"] > 0.999  # of the labels
    if quantise.available():
        assert rows["int8"]["agreement"] > 0.99
        assert "matrixProductFlops" not in rows["int8"]  # the product's precision is another
    assert rows["fp32"]["secondsPerFrame"] > 0 < rows["fp32"]["matrixProductFlops"]
    assert "| this project's graph, fp32 |" in capsys.readouterr().out


def test_upsampler_alone_states_no_share_of_the_peak(tmp_path):
    report = tmp_path / "bench.json"
    arguments = ["--size", "56x56", "--rounds", "1", "--frames", "1", "--warmup", "1", "--json", str(report)]
    for options in ([], ["--upsampler"]):
        assert main(["bench", "fp32", *arguments, *options]) == 0
        row = json.loads(report.read_text())["contenders"]["fp32"]
        assert ("shareOfPeak" in row) == (not options)  # whose work includes the backbone's
        assert row["secondsPerFrame"] > 0


def test_memory_is_allocated_as_by_the_command_line():
    launcher = Path(__file__).parents[3] / "uplift"
    settings = " ".join(f"{name}={value}" for name, value in ALLOCATOR.items())
    assert f"export {settings}\n" in launcher.read_text()


@pytest.mark.parametrize("arguments", [["authors"], ["nobody"], ["readable", "--upsampler"]])
def test_says_what_is_missing(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert "expected" in capsys.readouterr().err


@torch.inference_mode()
def test_patch_projection_is_the_convolution():
    conv = nn.Conv2d(3, 20, 7, stride=7)
    images = torch.randn(2, 3, 21, 35).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(PatchProjection(conv)(images), conv(images), atol=1e-5, rtol=1e-5)
