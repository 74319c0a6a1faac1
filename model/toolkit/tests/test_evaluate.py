"""A bundle that is judged by a configuration with another size, other heads or other labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import SMALL, write
from test_train import command, draw

from uplift_toolkit.__main__ import main


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of SMALL at another size than its configuration's, and frames beside it."""
    directory = draw(tmp_path_factory.mktemp("larger"), 2, seed=1)
    random = ["--random", 0, "--output", directory / "bundle"]
    command("export", "--config", write(directory), "--size", "80x48", *random)
    return directory


def test_a_bundle_is_judged_at_its_own_size(larger: Path, tmp_path: Path) -> None:
    scores = []
    for changes in ({}, {"input": {"width": 80, "height": 48}}):
        report = tmp_path / "report.json"
        judged = ["--data", larger, "--bundle", larger / "bundle", "--report", report]
        command("evaluate", "--config", write(tmp_path, **changes), *judged)
        scores.append(json.loads(report.read_text())["heads"])
    assert scores[0] == scores[1]
    assert set(scores[0]) == {"classes", "depth", "coarse"}


CLASSES, _, DEPTH, COARSE = SMALL["heads"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"heads": [CLASSES | {"name": "other"}]},
            "head other: None (expected by the configuration: segmentation, 19 channels, stride 1)",
        ),
        (
            {"heads": [DEPTH | {"stride": 4}]},
            "head depth: regression, 1 channels, stride 2 "
            "(expected by the configuration: regression, 1 channels, stride 4)",
        ),
        (
            {"labels": "voc2012", "heads": [COARSE | {"channels": 21}]},
            "head coarse: segmentation, 19 channels, stride 8 "
            "(expected by the configuration: segmentation, 21 channels, stride 8)",
        ),
        ({"labels": "mine.json"}, "label 18: bicycle (expected by the configuration: tricycle)"),
    ],
)
def test_a_bundle_of_other_heads_or_labels_is_refused(
    larger: Path,
    tmp_path: Path,
    changes: dict[str, object],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = json.loads((larger / "bundle" / "labels.json").read_text())
    labels[18]["name"] = "tricycle"
    (tmp_path / "mine.json").write_text(json.dumps(labels))
    arguments = ["--config", write(tmp_path, **changes), "--data", larger, "--bundle", larger / "bundle"]
    assert main(["evaluate", *map(str, arguments)]) == 2
    assert capsys.readouterr().err.endswith(f"{larger / 'bundle'}: {sentence}\n")


def test_pictures_need_labels(larger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("images", "depth"):
        shutil.copytree(larger / part, tmp_path / part)
    arguments = [
        "--config",
        write(tmp_path),
        "--data",
        tmp_path,
        "--bundle",
        larger / "bundle",
        "--show",
        tmp_path,
    ]
    assert main(["evaluate", *map(str, arguments)]) == 2
    assert capsys.readouterr().err.endswith(f"--show: {tmp_path} has no labels (expected: labels to paint)\n")
