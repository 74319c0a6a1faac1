"""The upsampler's convolutions in 8-bit integers: not the same numbers, but the same labels to a per mille.

Weights have a scale for every output channel, maps one for all, which the largest value decides that
calibration saw. Where all that reads them convolves integers, the encoder's maps stay bytes from block
to block and into the decoder. The decoder's residuals, attention and heads stay as they are.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from uplift_toolkit.fast.blocks import BlockConvs, FastBlock
from uplift_toolkit.fast.upsample import FastUplift
from uplift_toolkit.onednn import QuantisedConv, convolves_integers, pad_channels

BAND = 1 << 21
"""So many values of a frame become bytes at a time. Fewer would stay in the cache, but every operator wakes
threads."""

OUTPUT = -1
"""Stands for a block's output where an input's number is the key of its range."""


class Bytes(nn.Module):
    """Maps become u8 around a zero; a map that is u8 already stays as it is."""

    def __init__(self, scale: float, zero: int) -> None:
        super().__init__()
        self.scale = scale
        # The half rounds, as conversion cuts fractions off.
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

    An input that comes convolved is added as it is.
    """

    def __init__(
        self, convs: BlockConvs, inputs: Sequence[float], hidden: Sequence[float], output: float = 0.0
    ) -> None:
        """`inputs` and `hidden` are the largest absolute values of the maps that the first convolutions and
        the later ones read.

        The output is fp32, or with its largest absolute value u8 around 128.
        """
        super().__init__()
        self.convolved = convs.convolved
        scales = [_scale(largest, 127) for largest in inputs]
        self.bytes = nn.ModuleList(Bytes(scale, 128) for scale in scales)
        self.scale = scales[0]
        outs = [_scale(largest, 255) for largest in hidden]
        first, (*rest, last) = convs.first[0], convs.later()
        weight = torch.cat([conv.weight * s for conv, s in zip(convs.first, scales, strict=True)], dim=1)
        out = 0.0 if self.convolved else outs[0]
        self.first = QuantisedConv(weight, first.bias, first.stride[0], 128, out)
        if self.convolved:
            self.hidden = Bytes(outs[0], 0)
        self.rest = nn.Sequential(
            *(
                QuantisedConv(conv.weight * scale, conv.bias, 1, 0, out)
                for conv, scale, out in zip(rest, outs[:-1], outs[1:], strict=True)
            )
        )
        out, out_zero = (_scale(output, 127), 128) if output > 0 else (0.0, 0)
        self.last = QuantisedConv(last.weight * outs[-1], last.bias, 1, 0, out, out_zero)

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        """`residual`, which a u8 output may have, is u8 in the first input's scale."""
        read = inputs[self.convolved :]
        parts = [to_bytes(x) for to_bytes, x in zip(self.bytes, read, strict=True)]
        x = self.first(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        if self.convolved:
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
            kept = pad_channels(kept, self.width, 128)
        else:
            kept = kept.clone(memory_format=torch.channels_last)  # others read the map, too
        return self.convs(x, residual=kept)


def _scale(largest: float, steps: int) -> float:
    return max(largest, 1e-12) / steps


def quantise(upsampler: FastUplift, calibrate: Callable[[], object]) -> None:
    """Puts integers in place of the convolutions of all blocks, but for the one that reads the image, which
    costs as many labels as all others together, and for those with layer norms.

    `calibrate` runs the upsampler over what the maps' ranges are taken from. ValueError if no block is left,
    or if this PyTorch cannot convolve integers.
    """
    if not convolves_integers():
        raise ValueError("int8: this PyTorch has no onednn::qconv2d_pointwise (expected: a build for x86-64)")
    reads_image = upsampler.encoder.blocks[0].blocks[0] if upsampler.steps else None
    blocks = [
        block
        for block in upsampler.modules()
        if isinstance(block, FastBlock) and block is not reads_image and not block.convs.layer_norms
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
        for module in (block.convs, *block.convs.later()):
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
        inputs = [largest[convs, convs.convolved + i] for i in range(len(convs.first))]
        hidden = [largest[conv, 0] for conv in convs.later()]
        output = max(largest[block, OUTPUT], 1e-12) if block in maps else 0.0
        block.convs = QuantisedConvs(convs, inputs, hidden, output)
    for group in upsampler.encoder.blocks:
        if group.blocks[-1] in maps:
            block = group.blocks[-1]
            group.blocks[-1] = QuantisedBlock(block, block.convs)


def _readers(upsampler: FastUplift) -> list[tuple[FastBlock, int, FastBlock]]:
    """Every block that reads an encoder's map, the number of that input, and the block that makes the map."""
    ends = [group.blocks[-1] for group in upsampler.encoder.blocks]
    following = [
        (group.blocks[0], 0, end) for group, end in zip(upsampler.encoder.blocks[1:], ends[:-1], strict=True)
    ]
    block_0, block_1 = upsampler.block_0.blocks[0], upsampler.block_1.blocks[0]
    return [*following, (block_0, 1, ends[-1]), (block_1, 1, ends[-2])]


def _maps_as_bytes(upsampler: FastUplift, quantised: Sequence[FastBlock]) -> set[FastBlock]:
    """The encoder's blocks whose maps may stay bytes: where all that reads them convolves integers."""
    encoder = upsampler.encoder
    plain = upsampler.merge_mode == "nearest" and upsampler.refiner is None
    plain = plain and all(getattr(down, "down", None) is None for down in encoder.downs)
    plain = plain and all(len(group.blocks) == 1 for group in encoder.blocks)
    readers = _readers(upsampler)
    for reader, i, _ in readers:
        plain = plain and reader in quantised
        # A residual wider than the first input would be of the concatenation of floats and bytes.
        joined = i > 0 and not reader.convs.convolved and reader.convs.first[0].in_channels < reader.width
        plain = plain and not joined
    return {block for _, _, block in readers if block in quantised} if plain else set()
