"""Linear heads: a 1×1 convolution on upsampled features, and what a bundle stores of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

KINDS = ("segmentation", "features", "regression")


@dataclass(frozen=True)
class HeadConfig:
    """What a head computes, and at which stride (input pixels per output pixel, a power of two)."""

    name: str
    kind: str
    channels: int
    stride: int = 1
    unit: str | None = None  # of a regression: "m"
    log: bool = False  # of a regression: the linear map gives the logarithm, and e to its power is handed out
    confidence: bool = False  # of a segmentation: also give round(255·max softmax)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"head {self.name}: kind {self.kind!r} (expected one of {list(KINDS)})")
        if self.stride < 1 or self.stride & (self.stride - 1):
            raise ValueError(f"head {self.name}: stride {self.stride} (expected: a power of two)")
        if self.kind == "regression" and self.channels != 1:
            raise ValueError(f"head {self.name}: {self.channels} channels (expected of a regression: 1)")
        if self.kind == "segmentation" and not 2 <= self.channels <= 255:
            raise ValueError(f"head {self.name}: {self.channels} classes (expected: 2 to 255)")
        if self.log and self.kind != "regression":
            raise ValueError(f"head {self.name}: log (expected of a regression only)")
        if self.confidence and self.kind != "segmentation":
            raise ValueError(f"head {self.name}: confidence (expected of a segmentation only)")

    @staticmethod
    def from_dict(values: dict[str, Any]) -> HeadConfig:
        try:
            return HeadConfig(**values)
        except TypeError as e:
            raise ValueError(f"head {values.get('name', '?')}: {e}") from e


class LinearHead(nn.Module):
    """W·x + b at every pixel: [N,C,H,W] to class logits, projected features or a quantity [N,K,H,W]."""

    def __init__(self, features: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Conv2d(features, config.channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)
