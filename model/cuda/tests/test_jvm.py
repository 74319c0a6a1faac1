"""The library in the JVM, as the job loads it. Skipped where the command line is not built."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import LIBRARY
from test_graph import model
from torch import Tensor
from uplift_toolkit import operators
from uplift_toolkit.export import export_bundle
from uplift_toolkit.graph import finish
from uplift_toolkit.heads import HeadConfig

HOME = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    not (HOME / "tools" / "target" / "classes").is_dir() or shutil.which("java") is None,
    reason="the command line is not built",
)


def uplift(*arguments: str | Path) -> str:
    done = subprocess.run(
        [HOME / "uplift", *arguments],
        env=os.environ | {"PYTORCH_EXTRA_LIBRARY_PATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_lane_gives_the_golden_case_in_every_size_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A lane to the CPU copies frames and outputs as one to a GPU does, and records nothing."""

    def channels_last(head: HeadConfig, x: Tensor) -> list[Tensor]:
        maps = torch.channels_last
        return [y.contiguous(memory_format=maps) if y.ndim == 4 else y for y in finish(head, x)]

    monkeypatch.setattr(operators, "finish", channels_last)  # a lane copies memory as it lies
    export_bundle(model(14, 17, 70, 42), tmp_path, operators=("cpu",))
    said = uplift("model", "verify", tmp_path)
    assert "agrees: cpu-fp32" in said and "agrees: cpu-bf16" in said, said
    said = uplift("bench", "model", "--bundle", tmp_path, "--batch", "3", "--rounds", "2")
    assert "with operators on the CPU" in said and "batches of at most 3 frames, 1 at a time" in said, said
