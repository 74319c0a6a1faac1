"""What predictions are worth: IoU, boundary F-score, depth error; and the best that could be hoped for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uplift_toolkit.images import VOID


class Confusion:
    """Counts of (true class, predicted class) over the labelled pixels."""

    def __init__(self, labels: Sequence[dict[str, Any]]) -> None:
        self.names = [label["name"] for label in labels]
        self.counts = np.zeros((len(labels), len(labels)), np.int64)

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        known = truth != VOID
        classes = len(self.names)
        keys = truth[known].long() * classes + predicted[known].long()
        self.counts += torch.bincount(keys, minlength=classes**2).reshape(classes, classes).numpy()

    def report(self) -> dict[str, Any]:
        """Pixel accuracy, IoU of every class that is present in the truth, and their mean."""
        hits, actual = np.diag(self.counts), self.counts.sum(1)
        union = actual + self.counts.sum(0) - hits
        present = np.flatnonzero(actual)
        iou = {self.names[i]: round(float(hits[i] / union[i]), 4) for i in present}
        return {
            "pixelAccuracy": round(float(hits.sum() / max(1, actual.sum())), 4),
            "meanIoU": round(float(np.mean(list(iou.values()))), 4) if iou else 0.0,
            "iou": iou,
        }


class BoundaryF:
    """F-score of every class's boundary pixels, a pixel being right if its class has a boundary pixel of the
    other side at most `tolerance` pixels away, diagonals included (after Csurka et al., BMVC 2013; counts are
    summed over all frames).

    A boundary pixel has a neighbour (of four) of another class. Void has no boundary, and nothing predicted
    there counts.
    """

    def __init__(self, classes: int, tolerance: int) -> None:
        self.classes, self.tolerance = classes, tolerance
        self.counts = torch.zeros(4, classes, dtype=torch.long)

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        known = truth != VOID
        true = self._boundaries(truth.long(), known)
        found = self._boundaries(predicted.long(), torch.ones_like(known)).where(known, -1)
        for row, pixels in zip(
            self.counts, (self._met(found, true), found, self._met(true, found), true), strict=True
        ):
            row += torch.bincount(pixels[pixels >= 0], minlength=self.classes)

    def _boundaries(self, labels: Tensor, known: Tensor) -> Tensor:
        """[N,H,W] with the class where a boundary is, -1 elsewhere."""
        edge = torch.zeros_like(known)
        for axis in (1, 2):
            size = labels.shape[axis] - 1
            a, b = labels.narrow(axis, 0, size), labels.narrow(axis, 1, size)
            differs = (a != b) & known.narrow(axis, 0, size) & known.narrow(axis, 1, size)
            edge.narrow(axis, 0, size).logical_or_(differs)
            edge.narrow(axis, 1, size).logical_or_(differs)
        return labels.where(edge, -1)

    def _met(self, ours: Tensor, others: Tensor) -> Tensor:
        """Our boundary pixels that have one of the others of the same class nearby, -1 elsewhere."""
        reach, (h, w) = self.tolerance, ours.shape[1:]
        padded = F.pad(others, (reach,) * 4, value=-1)
        near = torch.zeros_like(ours, dtype=torch.bool)
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                near |= padded[:, y : y + h, x : x + w] == ours
        return ours.where(near, -1)

    def report(self) -> dict[str, Any]:
        right, found, met, true = self.counts.double()
        precision, recall = right / found.clamp(min=1), met / true.clamp(min=1)
        scores = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return {"boundaryF": round(float(scores[true > 0].mean()), 4) if (true > 0).any() else 0.0}


class DepthError:
    """Mean of |predicted - true| / true, and the share of pixels (delta 1) less than a quarter off."""

    def __init__(self) -> None:
        self.total, self.close, self.count = 0.0, 0, 0

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        known = truth > 0
        true, found = truth[known], predicted[known].clamp(min=1e-3)
        self.total += float(((found - true).abs() / true).sum())
        self.close += int((torch.maximum(found / true, true / found) < 1.25).sum())
        self.count += int(known.sum())

    def report(self) -> dict[str, Any]:
        count = max(1, self.count)
        return {"absRel": round(self.total / count, 4), "delta1": round(self.close / count, 4)}


class Several:
    """Scores that add up over batches of truth and prediction, and are reported together."""

    def __init__(self, *scores: Confusion | BoundaryF | DepthError) -> None:
        self.scores = scores

    def add(self, truth: Tensor, predicted: Tensor) -> None:
        for score in self.scores:
            score.add(truth, predicted)

    def report(self) -> dict[str, Any]:
        return {k: v for score in self.scores for k, v in score.report().items()}


def ceilings(histograms: Tensor, truth: Tensor, offsets: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    """Labels [N,H,W] that ideal patches would give: shares [N,K,h,w], weighted, in place of features.

    `nearest` and `bilinear` upsample the shares. `best neighbour` takes at every pixel the patch among those
    at `offsets` from its own whose largest share is the true class, if there is one: the best an attender
    could do by picking.
    """
    size = truth.shape[1:]
    own = F.interpolate(histograms, size, mode="nearest").argmax(1)
    smooth = F.interpolate(histograms, size, mode="bilinear").argmax(1)
    labels = F.one_hot(histograms.argmax(1), histograms.shape[1]).permute(0, 3, 1, 2).float()
    reach = max(abs(d) for offset in offsets for d in offset)
    h, w = labels.shape[2:]
    padded = F.pad(labels, (reach,) * 4, mode="replicate")
    around = [padded[:, :, reach + dy : reach + dy + h, reach + dx : reach + dx + w] for dy, dx in offsets]
    offered = F.interpolate(torch.stack(around).amax(0), size, mode="nearest")
    true = truth.long().clamp(max=histograms.shape[1] - 1)
    reachable = offered.gather(1, true[:, None])[:, 0] > 0
    return {"nearest": own, "bilinear": smooth, "best neighbour": torch.where(reachable, true, own)}
