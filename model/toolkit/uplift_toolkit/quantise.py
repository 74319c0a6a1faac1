"""The upsampler's convolutions in 8-bit integers: not the same numbers, but the same labels to a per mille.

Weights have a scale for every output channel, maps one for all; the scales of maps are of the largest values
that calibration saw. Residuals, attention and heads stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from uplift_toolkit.fast import BlockConvs, FastBlock, FastUplift

WEIGHT = 63
"""Largest weight. With 127, two products of 255 overflow the 16 bits that CPUs without VNNI add them in."""

BAND = 1 << 21
"""Values that become bytes at a time. Fewer would stay in the cache, but every operator wakes threads."""


def available() -> bool:
    """Whether this PyTorch convolves integers; builds for other processors than x86-64 may not."""
    return hasattr(torch.ops.onednn, "qconv2d_pointwise")


def _convolve(
    x: Tensor,  # u8 [N,C,H,W]
    zero: int,
    weight: Tensor,  # int8 [K,C,kernel,kernel]
    scale: Tensor,  # [K], of an output for products of integers
    bias: Tensor,  # [K]
    stride: int,
    out: float,  # scale of a u8 output, which is rectified; 0: the output is fp32
) -> Tensor:
    # oneDNN's own format is made anew for every call, in a tenth of a millisecond: it cannot be saved.
    padding = weight.shape[2] // 2
    strides, pads, dilation = [stride, stride], [padding, padding], [1, 1]
    packed = torch.ops.onednn.qconv_prepack(weight, scale, 1.0, zero, strides, pads, dilation, 1, x.shape)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    dtype, out = (torch.uint8, out) if out > 0 else (torch.float32, 1.0)  # u8 has nothing below 0
    return torch.ops.onednn.qconv2d_pointwise(
        x, 1.0, zero, packed, scale, zeros, bias, strides, pads, dilation, 1, out, 0, dtype, "none", [], ""
    )


@functools.cache
def _scripted() -> Callable[..., Tensor]:
    """The tracer does not know the type of the operator's last list."""
    return torch.jit.script(_convolve)


class QuantisedConv(nn.Module):
    """A convolution of integers: u8 to u8, rectified, or to fp32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int, zero: int, out: float) -> None:
        """`weight` [K,C,k,k] is that of x - zero for u8 x; `out` the scale of a u8 output, 0 for fp32."""
        super().__init__()
        self.stride, self.zero, self.out = stride, zero, out
        scale = (weight.abs().amax(dim=(1, 2, 3)) / WEIGHT).clamp(min=1e-12)
        self.register_buffer("weight", (weight / scale[:, None, None, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.zeros_like(scale) if bias is None else bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        return _scripted()(x, self.zero, self.weight, self.scale, self.bias, self.stride, self.out)


class QuantisedConvs(nn.Module):
    """What `BlockConvs` computes, in integers: signed maps around 128, rectified ones from 0."""

    def __init__(self, convs: BlockConvs, inputs: Sequence[float], hidden: Sequence[float]) -> None:
        """With the largest absolute values of every input, and of what every further convolution reads."""
        super().__init__()
        self.scales = [max(largest, 1e-12) / 127 for largest in inputs]
        outs = [max(largest, 1e-12) / 255 for largest in hidden]
        parts = [conv.weight * scale for conv, scale in zip(convs.first, self.scales, strict=True)]
        first = convs.first[0]
        layers = [QuantisedConv(torch.cat(parts, dim=1), first.bias, first.stride[0], 128, outs[0])]
        for conv, scale, out in zip([*convs.rest, convs.last], outs, [*outs[1:], 0.0], strict=True):
            layers.append(QuantisedConv(conv.weight * scale, conv.bias, 1, 0, out))
        self.layers = nn.Sequential(*layers)
        self.register_buffer("offset", torch.tensor(128.5), persistent=False)  # conversion cuts fractions off

    def forward(self, *inputs: Tensor) -> Tensor:
        row = inputs[0].shape[3] * sum(x.shape[1] for x in inputs)
        bands = zip(*(x.split(max(1, BAND // row), dim=2) for x in inputs), strict=True)
        return self.layers(torch.cat([self._bytes(*band) for band in bands], dim=2))

    def _bytes(self, *inputs: Tensor) -> Tensor:
        """The concatenation of the inputs as u8 around 128."""
        # By way of int32: PyTorch 2.7 takes longer to make bytes of floats than for both steps.
        parts = [
            torch.add(self.offset, x, alpha=1 / scale).clamp_(0, 255).to(torch.int32).to(torch.uint8)
            for x, scale in zip(inputs, self.scales, strict=True)
        ]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def quantise(upsampler: FastUplift, calibrate: Callable[[], object]) -> None:
    """Puts integers in place of the convolutions of all blocks, but for those that read the image, those that
    read products of features, and those with layer norms.

    `calibrate` runs the upsampler over what the maps' ranges are taken from. ValueError if no block is left,
    or if this PyTorch cannot convolve integers.
    """
    if not available():
        raise ValueError("int8: this PyTorch has no onednn::qconv2d_pointwise (expected: a build for x86-64)")
    blocks = [
        block
        for block in upsampler.modules()
        if isinstance(block, FastBlock)
        and isinstance(block.convs.first[0], nn.Conv2d)  # else most of it was pooled, in fp32
        and block.convs.first[0].in_channels > 3  # the image's costs as many labels as all others together
        and all(isinstance(norm, nn.Identity) for norm in block.convs.norms)
    ]
    if not blocks:
        raise ValueError("int8: no convolution to quantise (expected: steps, and blocks with batch norms)")
    largest: dict[tuple[nn.Module, int], float] = {}

    def observe(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for i, x in enumerate(inputs):
            largest[module, i] = max(largest.get((module, i), 0.0), float(x.abs().max()))

    observed = [module for block in blocks for module in (block.convs, *block.convs.rest, block.convs.last)]
    for module in observed:
        module.register_forward_pre_hook(observe)
    calibrate()
    for block in blocks:
        convs = block.convs
        inputs = [largest[convs, i] for i in range(len(convs.first))]
        hidden = [largest[conv, 0] for conv in (*convs.rest, convs.last)]
        block.convs = QuantisedConvs(convs, inputs, hidden)
