"""Linear heads: a 1×1 convolution on upsampled features, and what a bundle stores of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uplift_toolkit.weights import Checkpoint, State, WeightsError, check_names_and_shapes, say_where

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
    dtype: str = "float16"  # or "float32": of what features and a regression hand out

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w-]+", self.name):
            raise ValueError(f"head {self.name!r} (expected: a name of letters, digits, - and _)")
        if self.channels < 1:
            raise ValueError(f"head {self.name}: {self.channels} channels (expected: >= 1)")
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
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"head {self.name}: dtype {self.dtype!r} (expected: float16 or float32)")
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

    def load(self, state: State, source: object) -> None:
        """Loads any linear probe: one linear layer, after at most one batch norm, which is folded here.

        That holds for DINOv2's released "linear" segmentation heads (mmseg's decode_head.bn and
        decode_head.conv_seg), for DINOv3's, and for probes as JAFAR's evaluation trains them (weight, bias).
        WeightsError names what is missing, surplus or of another shape.
        """
        if isinstance(state, Checkpoint) and state.within:
            say_where(source, state.within, len(state), len(state.everything))
        groups = {name.rpartition(".")[0]: "" for name in state}
        norms = [g for g in groups if any(_join(g, n) in state for n in ("running_mean", "running_var"))]
        linears = [g for g in groups if g not in norms]
        if len(linears) != 1 or len(norms) > 1:
            found = ", ".join(sorted(state)[:8])
            raise WeightsError(
                f"{source}: {found} (expected: one linear layer's weight and bias, at most one batch norm; "
                "FILE#ENTRY takes a part of a file)"
            )
        linear = linears[0]
        weight = state.get(_join(linear, "weight"))
        k, c = self.linear.weight.shape[:2]
        if weight is not None and weight.ndim >= 2 and weight.shape[1] != c and weight.shape[1] % c == 0:
            raise WeightsError(
                f"{source}: {_join(linear, 'weight')} reads {weight.shape[1]} channels of several layers "
                f"(expected: the last layer's {c}, as DINOv2's heads called linear do, not ms or linear4)"
            )
        expected = {_join(linear, "weight"): self.linear.weight, _join(linear, "bias"): self.linear.bias}
        if weight is not None and weight.ndim == 2:
            expected[_join(linear, "weight")] = self.linear.weight[:, :, 0, 0]
        norm = nn.BatchNorm1d(c).eval()
        for group in norms:
            expected |= {_join(group, name): value for name, value in norm.state_dict().items()}
        check_names_and_shapes(expected, state, source)
        for group in norms:
            norm.load_state_dict({n: state.get(_join(group, n), v) for n, v in norm.state_dict().items()})
        with torch.no_grad():
            # weight·(x·scale + shift) + bias, with the norm's x·scale + shift
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            shift = norm.bias - norm.running_mean * scale
            matrix = state[_join(linear, "weight")].reshape(k, c).float()
            self.linear.weight.copy_((matrix * scale if norms else matrix)[:, :, None, None])
            bias = state[_join(linear, "bias")].float()
            self.linear.bias.copy_(bias + matrix @ shift if norms else bias)


def _join(group: str, name: str) -> str:
    return f"{group}.{name}" if group else name
