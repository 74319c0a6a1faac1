"""What predictions are worth, on maps that can be counted by hand."""

from __future__ import annotations

import pytest
import torch

from uplift_toolkit.images import VOID
from uplift_toolkit.scores import BoundaryF, Confusion, ceilings


def test_iou_counts_only_labelled_pixels_and_present_classes() -> None:
    confusion = Confusion([{"name": name} for name in "abc"])
    confusion.add(torch.tensor([0, 0, 1, 1, VOID]), torch.tensor([0, 1, 1, 2, 0]))
    report = confusion.report()
    assert report["pixelAccuracy"] == 0.5
    assert report["iou"] == {"a": 0.5, "b": pytest.approx(1 / 3, abs=1e-4)}
    assert report["meanIoU"] == pytest.approx(5 / 12, abs=1e-4)


def test_boundaries_count_within_the_tolerance() -> None:
    true = torch.zeros(1, 12, 12, dtype=torch.uint8)
    true[:, :, 6:] = 1
    for shift, expected in ((0, 1.0), (2, 1.0), (4, 0.0)):
        score = BoundaryF(3, tolerance=2)
        score.add(true, true.roll(-shift, 2).index_fill(2, torch.arange(12 - shift, 12), 1))
        assert score.report()["boundaryF"] == pytest.approx(expected)
    score = BoundaryF(3, tolerance=2)
    hidden = true.clone()
    hidden[:, :6] = VOID
    score.add(hidden, true)
    assert score.report()["boundaryF"] == pytest.approx(1.0)


def test_the_ceiling_picks_among_the_neighbours() -> None:
    shares = torch.zeros(1, 2, 2, 3)
    shares[0, 0], shares[0, 1, :, 2] = 0.6, 1.0  # the right column is class 1, all others 0
    truth = torch.tensor([[[1, 1, 1, 1, 1, 1]] * 4], dtype=torch.uint8)
    labels = ceilings(shares, truth, [(0, -1), (0, 0), (0, 1)])
    assert labels["nearest"][0, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert labels["best neighbour"][0, 0].tolist() == [0, 0, 1, 1, 1, 1]
