"""deploy/gpu-check with stand-ins for the GPU and for what is measured: no figure here is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
COSINE = "agrees: cuda-fp16: segmentation labels agree 0.99958 (expected: >= 0.99), features cosine 0.99999"
GRAPHS = "classes-19 0, variant cuda-fp16, batches of at most 1 frames, 1 at a time, as CUDA graphs"
BALANCE = {"published": 9, "results": 9, "failures": 0, "drops": 0, "lost": 0}


def models(batch, **rates):
    found = [
        {
            "name": f"{name.replace('_', '-')} 0",
            "variant": "cuda-fp16",
            "framesPerSecond": rate,
            "stages": {"backbone": 1.0, "upsampler": 2.0},
        }
        for name, rate in rates.items()
    ]
    return {"batch": batch, "models": found}


def load(mode, times, **more):
    run = {"mode": mode, "load": times, "balance": BALANCE, "exactlyOnce": True, "latency": {"p99": 50.0}}
    return {"variant": "cuda-fp16", "capacity": 300.0, "runs": [run | more]}


def good():
    """What the steps would write where every bar is met."""
    return {
        "model-1-frame.json": models(1, classes_19=400, classes_150=330),
        "model-8-frames.json": models(8, classes_19=700, classes_150=600),
        "model-channels.json": models(1, channels=300),
        "model-others.json": models(1, large=40, street=300),
        "channels.json": [
            {"side": side, "batch": batch, "milliseconds": time, "memoryGB": memory}
            for side, batch, time, memory in ((448, 1, 2.5, 0.5), (448, 8, 17.0, 2.5), (1344, 1, 28.0, 4.0))
        ],
        "load-lossless.json": load("lossless", 0.9),
        "load-live.json": load("live", 5.0, boundMillis=1030.0),
        "authors.json": {"contenders": {"authors": {"secondsPerFrame": 0.025}}},
        "authors-make_fast.json": {"contenders": {"authors-fast-bf16": {"secondsPerFrame": 0.009}}},
    }


STAND_IN = """#!/usr/bin/env bash
case "$*" in
  -c*) echo "2.7.1+cu128 {here}" ; exit ;;
  *gpu_figures.py*) exec {python} "$@" ;;
  'model verify'*) echo "{cosine}" ;;
  *"{broken}"*) echo "out of luck" ; exit 4 ;;
esac
previous=
for each in "$@"; do # --json FILE, measure FILE, --output DIR
  case $previous in
    --json | measure) cp "{here}/given/${{each##*/}}" "$each" ;;
    --output) mkdir -p "$each"; cp "{here}/given/${{each##*/}}.json" "$each/load.json" 2>/dev/null ;;
  esac
  previous=$each
done
echo "{said}"
exit 0
"""


@pytest.fixture
def check(tmp_path):
    def run(given, said=GRAPHS, broken="nothing at all", authors=True, gpu="exec echo 1000", **programs):
        home, given_to = tmp_path / "home", tmp_path / "given"
        for directory in (home / "model/bundles/street", tmp_path / "bundles", given_to, tmp_path / "bin"):
            directory.mkdir(parents=True, exist_ok=True)
        (tmp_path / "authors/uplift").mkdir(parents=True)
        shutil.copytree(DEPLOY, home / "deploy")
        (home / "model/bundles/street/manifest.json").touch()
        (tmp_path / "operators.so").touch()
        for name, content in given.items():
            (given_to / name).write_text(json.dumps(content))
        text = STAND_IN.format(here=tmp_path, python=sys.executable, cosine=COSINE, broken=broken, said=said)
        for file, script in (
            (home / "uplift", text),
            (tmp_path / "bin/python", text),
            (tmp_path / "bin/nvidia-smi", f"#!/bin/sh\n{gpu}\n"),
            *((tmp_path / "bin" / name, f"#!/bin/sh\n{script}\n") for name, script in programs.items()),
        ):
            file.write_text(script)
            file.chmod(0o755)
        options = {"output": "out", "operators": "operators.so", "bundles": "bundles", "python": "bin/python"}
        options |= {"authors": "authors"} if authors else {}
        arguments = [word for name, value in options.items() for word in (f"--{name}", tmp_path / value)]
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            [home / "deploy/gpu-check", *arguments],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def verdicts(output):
    """The last cell of every bar's row."""
    return re.findall(r"\| ([A-Z ]+) \|$", output.split("| bar |")[1], re.MULTILINE)


def test_every_bar_is_met(check):
    done = check(good())
    assert verdicts(done.stdout) == ["MET"] * 19, done.stdout
    assert done.returncode == 0, done.stderr
    assert "| 2.5 ms | MET |" in done.stdout and "| 10.00 times: 25.00 ms | MET |" in done.stdout


def test_bars_that_are_missed_are_said(check):
    given = good()
    given["model-1-frame.json"] = models(1, classes_19=300, classes_150=200)
    given["load-lossless.json"] = load("lossless", 0.9, latency={"p99": 61.0}, balance=BALANCE | {"drops": 1})
    given["channels.json"][2]["milliseconds"] = 40.0
    done = check(given)
    missed = [line for line in done.stdout.splitlines() if line.endswith("| MISSED |")]
    assert len(missed) == 7 and done.returncode == 1, done.stdout  # the authors are 7.5 and 2.7 times ours
    assert "| 61 ms (bound 60 ms) | MISSED |" in done.stdout
    assert "| 1.78 times: 40.00 and 2.50 ms | MISSED |" in done.stdout


def test_a_gpu_that_records_nothing_is_said(check):
    done = check(good(), said="CUDA graphs are not used: kernels are launched one by one: out of memory")
    assert "one by one: out of memory | MISSED |" in done.stdout and done.returncode == 1, done.stdout


def test_a_step_that_fails_is_named_and_its_figures_are_not_measured(check):
    done = check(good(), broken="--modes live")
    assert "| load live | FAILED with code 4: out of luck |" in done.stdout
    assert verdicts(done.stdout).count("NOT MEASURED") == 2 and done.returncode == 1, done.stdout
    assert "| load live: FAILED with code 4 | NOT MEASURED |" in done.stdout


@pytest.mark.parametrize(
    ("programs", "result"),
    [
        ({"timeout": "exit 124"}, r"NOT DONE in \d+ s"),
        (
            {"date": 'now=$(($(cat "$0.now") + 50)); echo $now >"$0.now"; echo $now'},
            r"NOT DONE: -?\d+ s were left",
        ),
    ],
)
def test_a_step_that_takes_too_long_is_named(check, tmp_path, programs, result):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/date.now").write_text("0")
    done = check(good(), **programs)
    assert re.search(rf"^\| times in Python \| {result} \|", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("model-8-frames.json", models(4, classes_19=700, classes_150=600), "batches of 4"),
        ("load-live.json", {"variant": "cpu-bf16"}, "cpu-bf16"),
        ("channels.json", {"side": 448}, "figures of another form"),
        (
            "authors.json",
            {"contenders": {"authors": {"error": "RuntimeError: no memory"}}},
            "RuntimeError: no memory",
        ),
    ],
)
def test_what_was_not_meant_is_not_measured(check, file, content, why):
    done = check(good() | {file: content})
    assert any(why in line and line.endswith("| NOT MEASURED |") for line in done.stdout.splitlines())
    assert done.returncode == 1


def test_without_a_clone_the_authors_are_not_asked_for(check):
    done = check(good(), authors=False)
    assert verdicts(done.stdout).count("NOT MEASURED") == 2 and done.returncode == 0, done.stdout


def test_without_a_gpu_nothing_begins(check):
    done = check(good(), gpu="echo no devices; exit 9")
    assert done.returncode == 3 and "nvidia-smi says 'no devices'" in done.stderr
