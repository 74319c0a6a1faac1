"""The upsampler's convolutions in 8-bit integers: not the same numbers, but the same labels to a per mille.

Weights have a scale for every output channel, maps one for all; the scales of maps are of the largest values
that calibration saw. Where all that reads them convolves integers, the encoder's maps stay bytes from block
to block and into the decoder. The decoder's residuals, attention and heads stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.fast import BlockConvs, FastBlock, FastUplift

WEIGHT = 63
"""Largest weight. With 127, two products of 255 overflow the 16 bits that CPUs without VNNI add them in."""

ALIGNED = 16
"""Channels come in multiples of these: on CPUs with AVX-512, oneDNN 3.7, which is in PyTorch 2.7, gets 3x3
convolutions of others wrong."""

BAND = 1 << 21
"""Values of a frame that become bytes at a time. Fewer would stay in the cache, but every operator wakes
threads."""


OUTPUT = -1
"""In place of an input's number where the ranges of maps are kept."""


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
    out: float,  # scale of a u8 output; 0: the output is fp32
    out_zero: int,  # of a u8 output; 0: it is rectified
    residual: Tensor | None,  # u8 [N,K,H/stride,W/stride] around 128, becomes the u8 output
    residual_scale: float,
) -> Tensor:
    # oneDNN's own format is made anew for every call, in a tenth of a millisecond: it cannot be saved.
    # Of the operator's two forms the arguments choose.
    padding = weight.shape[2] // 2
    strides, pads, dilation = [stride, stride], [padding, padding], [1, 1]
    packed = torch.ops.onednn.qconv_prepack(weight, scale, 1.0, zero, strides, pads, dilation, 1, x.shape)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    dtype, out = (torch.uint8, out) if out > 0 else (torch.float32, 1.0)
    # fmt: off
    if residual is None:
        return torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, zero, packed, scale, zeros, bias, strides, pads, dilation, 1,
            out, out_zero, dtype, "none", [], "",
        )
    return torch.ops.onednn.qconv2d_pointwise(
        x, 1.0, zero, packed, scale, zeros, residual, bias, strides, pads, dilation, 1,
        out, out_zero, dtype, residual_scale, 128, "sum", 1.0, "none", [], "",
    )
    # fmt: on


@functools.cache
def _scripted() -> Callable[..., Tensor]:
    """The tracer does not know the type of the operator's last list."""
    return torch.jit.script(_convolve)


class QuantisedConv(nn.Module):
    """A convolution of integers: u8 to u8, or to fp32."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: int, zero: int, out: float, out_zero: int = 0
    ) -> None:
        """`weight` [K,C,k,k] is that of x - zero for u8 x; `out` the scale of a u8 output, 0 for fp32.

        From `out_zero` 0 on a u8 output is rectified: it has nothing below. A 3x3 convolution has surplus
        outputs if K is not ALIGNED; surplus inputs are ignored.
        """
        super().__init__()
        self.stride, self.zero, self.out, self.out_zero = stride, zero, out, out_zero
        bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        surplus = -len(weight) % ALIGNED if weight.shape[2] > 1 else 0
        weight = F.pad(weight.detach(), (0, 0, 0, 0, 0, -weight.shape[1] % ALIGNED, 0, surplus))
        scale = (weight.abs().amax(dim=(1, 2, 3)) / WEIGHT).clamp(min=1e-12)
        self.register_buffer("weight", (weight / scale[:, None, None, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", F.pad(bias, (0, surplus)))

    def forward(self, x: Tensor, residual: Tensor | None = None, residual_scale: float = 0.0) -> Tensor:
        """`residual`, u8 around 128, is added and its memory taken for the output."""
        x = _pad(x, self.weight.shape[1], self.zero)
        weights = (self.weight, self.scale, self.bias)
        out = (self.out, self.out_zero)
        return _scripted()(x, self.zero, *weights, self.stride, *out, residual, residual_scale)


class Bytes(nn.Module):
    """Maps to u8 around a zero; bytes, which have been that already, as they are."""

    def __init__(self, scale: float, zero: int) -> None:
        super().__init__()
        self.scale = scale
        # Conversion cuts fractions off.
        self.register_buffer("offset", torch.tensor(zero + 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            return x
        row = x.shape[1] * x.shape[3]
        parts = [
            # By way of int32: PyTorch 2.7 takes longer to make bytes of floats than for both steps.
            torch.add(self.offset, band, alpha=1 / self.scale).clamp_(0, 255).to(torch.int32).to(torch.uint8)
            for band in x.split(max(1, BAND // row), dim=2)
        ]
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


class QuantisedConvs(nn.Module):
    """What `BlockConvs` computes, in integers: signed maps around 128, rectified ones from 0.

    Where the convolution of the first input has been pooled in its place, that input is added as it is.
    """

    def __init__(
        self, convs: BlockConvs, inputs: Sequence[float], hidden: Sequence[float], output: float = 0.0
    ) -> None:
        """With the largest absolute values of every input, and of what every further convolution reads.

        The output is fp32, or with its largest absolute value u8 around 128.
        """
        super().__init__()
        self.pooled = not isinstance(convs.first[0], nn.Conv2d)
        read = [
            (conv, _scale(largest, 127))
            for conv, largest in zip(convs.first, inputs, strict=True)
            if isinstance(conv, nn.Conv2d)
        ]
        self.bytes = nn.ModuleList(Bytes(scale, 128) for _, scale in read)
        self.scale = read[0][1]
        outs = [_scale(largest, 255) for largest in hidden]
        first = read[0][0]
        weight = torch.cat([conv.weight * scale for conv, scale in read], dim=1)
        self.first = QuantisedConv(weight, first.bias, first.stride[0], 128, 0.0 if self.pooled else outs[0])
        if self.pooled:
            self.hidden = Bytes(outs[0], 0)
        self.rest = nn.Sequential(
            *(
                QuantisedConv(conv.weight * scale, conv.bias, 1, 0, out)
                for conv, scale, out in zip(convs.rest, outs[:-1], outs[1:], strict=True)
            )
        )
        out = _scale(output, 127) if output > 0 else 0.0
        self.last = QuantisedConv(
            convs.last.weight * outs[-1], convs.last.bias, 1, 0, out, 128 if output > 0 else 0
        )

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        """`residual`: of a u8 output, and of the first input's scale."""
        read = inputs[1:] if self.pooled else inputs
        parts = [to_bytes(x) for to_bytes, x in zip(self.bytes, read, strict=True)]
        x = self.first(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        if self.pooled:
            x = self.hidden(inputs[0].add_(x[:, : inputs[0].shape[1]]).relu_())
        return self.last(self.rest(x), residual, self.scale)


class QuantisedBlock(nn.Module):
    """A block of one input whose map leaves as u8 around 128, the residual added in integers."""

    def __init__(self, block: FastBlock, convs: QuantisedConvs) -> None:
        super().__init__()
        self.convs, self.width, self.stride, self.residual = convs, block.width, block.stride, block.residual

    def forward(self, x: Tensor, residual: None = None) -> Tensor:
        x = self.convs.bytes[0](x)
        if not self.residual:
            return self.convs(x)
        kept = x[:, : self.width, :: self.stride, :: self.stride]
        if kept.shape[1] < self.width:
            kept = _pad(kept, self.width, 128)
        else:
            kept = kept.clone(memory_format=torch.channels_last)  # others read the map, too
        return self.convs(x, residual=kept)


def _pad(x: Tensor, channels: int, value: int) -> Tensor:
    """Channels added to u8 [N,C,H,W], channels last in memory."""
    if x.shape[1] == channels:
        return x
    padded = F.pad(x.permute(0, 2, 3, 1), (0, channels - x.shape[1]), value=float(value))
    return padded.permute(0, 3, 1, 2)


def _scale(largest: float, steps: int) -> float:
    return max(largest, 1e-12) / steps


def quantise(upsampler: FastUplift, calibrate: Callable[[], object]) -> None:
    """Puts integers in place of the convolutions of all blocks, but for those that read the image, and those
    with layer norms.

    `calibrate` runs the upsampler over what the maps' ranges are taken from. ValueError if no block is left,
    or if this PyTorch cannot convolve integers.
    """
    if not available():
        raise ValueError("int8: this PyTorch has no onednn::qconv2d_pointwise (expected: a build for x86-64)")
    blocks = [
        block
        for block in upsampler.modules()
        if isinstance(block, FastBlock)
        and not _reads_image(block)  # it costs as many labels as all others together
        and all(isinstance(norm, nn.Identity) for norm in block.convs.norms)
    ]
    if not blocks:
        raise ValueError("int8: no convolution to quantise (expected: steps, and blocks with batch norms)")
    largest: dict[tuple[nn.Module, int], float] = {}

    def observe(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
        for i, x in enumerate(inputs if output is None else [output]):
            key = (module, i if output is None else OUTPUT)
            largest[key] = max(largest.get(key, 0.0), float(x.abs().max()))

    hooks = [block.register_forward_hook(observe) for block in blocks]
    for block in blocks:
        for module in (block.convs, *block.convs.rest, block.convs.last):
            hooks.append(module.register_forward_pre_hook(observe))
    calibrate()
    for hook in hooks:
        hook.remove()
    maps = _maps_as_bytes(upsampler, blocks)
    for reader, i, block in _readers(upsampler):
        if block in maps:
            largest[reader.convs, i] = largest[block, OUTPUT]
    for block in blocks:
        convs = block.convs
        inputs = [largest[convs, i] for i in range(len(convs.first))]
        hidden = [largest[conv, 0] for conv in (*convs.rest, convs.last)]
        output = max(largest[block, OUTPUT], 1e-12) if block in maps else 0.0
        block.convs = QuantisedConvs(convs, inputs, hidden, output)
    for group in upsampler.encoder.blocks:
        if group.blocks[-1] in maps:
            block = group.blocks[-1]
            group.blocks[-1] = QuantisedBlock(block, block.convs)


def _reads_image(block: FastBlock) -> bool:
    return isinstance(block.convs.first[0], nn.Conv2d) and block.convs.first[0].in_channels == 3


def _readers(upsampler: FastUplift) -> list[tuple[FastBlock, int, FastBlock]]:
    """Blocks that read an encoder's map, as which input, and the block that makes it."""
    ends = [group.blocks[-1] for group in upsampler.encoder.blocks]
    following = [
        (group.blocks[0], 0, end) for group, end in zip(upsampler.encoder.blocks[1:], ends[:-1], strict=True)
    ]
    return [*following, (upsampler.block_0.blocks[0], 1, ends[-1]), (upsampler.logits.blocks[0], 1, ends[-2])]


def _maps_as_bytes(upsampler: FastUplift, quantised: Sequence[FastBlock]) -> set[FastBlock]:
    """The encoder's blocks whose maps may stay bytes: where all that reads them convolves integers."""
    encoder = upsampler.encoder
    plain = upsampler.merge_mode == "nearest" and upsampler.refiner is None
    plain = plain and all(getattr(down, "down", None) is None for down in encoder.downs)
    plain = plain and all(len(group.blocks) == 1 for group in encoder.blocks)
    readers = _readers(upsampler)
    # A residual wider than the first input would be of the concatenation of floats and bytes.
    for reader, i, _ in readers:
        widths = [conv.in_channels for conv in reader.convs.first if isinstance(conv, nn.Conv2d)]
        plain = plain and reader in quantised
        plain = plain and (i == 0 or len(widths) < len(reader.convs.first) or widths[0] >= reader.width)
    return {block for _, _, block in readers if block in quantised} if plain else set()
