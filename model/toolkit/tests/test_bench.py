"""What the bench compares does the same work, in the form that the device gets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from uplift_toolkit import bench, bench_upsamplers
from uplift_toolkit.__main__ import main
from uplift_toolkit.bench import ALLOCATOR, graphs, model
from uplift_toolkit.fast import BandedResize, PlainResize
from uplift_toolkit.fast.pools import AttentionPool, GatheredPool
from uplift_toolkit.onednn import attend, convolves_integers


def test_contenders_agree_and_the_first_is_the_measure(tmp_path, capsys):
    report = tmp_path / "bench.json"
    arguments = ["bench", "fp32", "readable", "int8", "--size", "56x56", "--rounds", "1", "--frames", "1"]
    assert main([*arguments, "--warmup", "1", "--threads", "1", "--json", str(report)]) == 0
    rows = json.loads(report.read_text())["contenders"]
    assert rows["readable"]["agreement"] > 0.999  # of the labels
    if convolves_integers():
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


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_device_decides_the_form_of_the_graphs_and_not_the_precision(device, name):
    backbone, upsampler = graphs(name, model(56, 56, "segmentation"), device)
    cpu = device == "cpu"
    assert {type(pool) for pool in upsampler.upsampler.pools} == {AttentionPool if cpu else GatheredPool}
    assert {type(each) for each in upsampler.resizes} == {BandedResize if cpu else PlainResize}
    by_products = {block.attn.attend is attend for block in backbone.backbone.blocks}
    assert by_products == {cpu and name == "bf16"}


def ended_at_once(connection, name, settings):
    os._exit(9)


def ended_later(connection, name, settings):
    connection.send(np.zeros((4, 4)))
    connection.recv()
    os._exit(9)


def test_a_process_that_ends_is_not_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(bench, "work", ended_at_once)
    assert main(["bench", "fp32"]) == 0
    output = capsys.readouterr()
    assert "| this project's graph, fp32 | the process ended with exit code 9 |" in output.out
    assert "fp32: the process ended with exit code 9" in output.err
    monkeypatch.setattr(bench, "work", ended_later)
    assert main(["bench", "fp32"]) == 2
    assert "bench: fp32: the process ended with exit code 9\n" in capsys.readouterr().err


def test_a_processor_that_is_not_there(capsys):
    assert main(["bench", "fp32", "--cpus", "99999"]) == 0
    assert "| this project's graph, fp32 | OSError: " in capsys.readouterr().out


def test_memory_is_allocated_as_by_the_command_line():
    launcher = Path(__file__).parents[3] / "uplift"
    settings = " ".join(f"{name}={value}" for name, value in ALLOCATOR.items())
    assert f"export {settings}\n" in launcher.read_text()


@pytest.mark.parametrize(
    "arguments", [["authors"], ["nobody"], ["readable", "--upsampler"], ["jafar", "fp32"], ["jafar-authors"]]
)
def test_says_what_is_missing(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["fp32", "--tokens", "16"],
        ["readable", "--limit", "4"],
        ["lift", "--batch", "2"],
        ["lift", "--profile"],
    ],
)
def test_an_option_of_other_contenders_is_refused(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert f"bench: {arguments[1]} with ['{arguments[0]}'] (expected: some of [" in capsys.readouterr().err


def test_upsamplers_over_tokens_and_sizes(tmp_path, capsys):
    """LiFT has no patch 4: that is a row of the table, and the others are measured."""
    report = tmp_path / "cost.json"
    sizes = ["--tokens", "4", "--outputs", "32", "16", "--frames", "1", "--warmup", "1", "--threads", "1"]
    assert main(["bench", "lift", "bilinear", *sizes, "--json", str(report)]) == 0
    first, second, third, fourth = json.loads(report.read_text())["upsamplers"]
    assert [row["upsampler"] for row in (first, second)] == ["lift", "bilinear"]
    assert all(row["secondsPerFrame"] > 0 < row["memoryGB"] for row in (first, second, fourth))
    assert third["error"] == "upsampler lift: patch 4 (expected of the backbone: 8 or 16)"
    assert report.with_suffix(".png").is_file()
    assert "| lift | 4x4 | 16x16 | upsampler lift: patch 4 (expected " in capsys.readouterr().out
    assert main(["bench", "bilinear", "--tokens", "3", "--outputs", "32"]) == 2
    assert "--outputs 32 with --tokens 3 (expected: multiples)" in capsys.readouterr().err
    assert main(["bench", "bilinear", "--tokens", "0"]) == 2
    assert "--outputs 448 with --tokens 0 (expected: multiples)" in capsys.readouterr().err


def test_memory_is_that_of_the_process_and_not_of_its_parent():
    gigabyte = torch.ones(2**28)
    assert bench_upsamplers.peak_memory() > gigabyte.nbytes / 1e9
    settings = {"task": "segmentation", "threads": 1, "warmup": 0, "frames": 1, "limit": None, "authors": ""}
    figures, _ = bench_upsamplers.measure("nearest", 4, 16, settings)
    assert 0.1 < figures["memoryGB"] < 1
