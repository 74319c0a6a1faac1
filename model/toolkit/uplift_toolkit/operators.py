"""The upsampler's graph with the operators of `model/cuda`, which a GPU runs in place of the portable one.

Maps between operators are [N,H,W,C] and contiguous; as [N,C,H,W] they are channels_last, which convolutions
keep, so that `_rows` and `_planes` copy nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from uplift_toolkit.fast.blocks import BlockConvs, FastBlock, convolution
from uplift_toolkit.fast.upsample import FastUplift, _precisely
from uplift_toolkit.graph import Normalise, _readout, finish
from uplift_toolkit.model import DenseModel
from uplift_toolkit.uplift import Up, Uplift, encoder_image, resize

LIBRARY = "uplift_operators"


def load_operators(library: Path) -> None:
    """Loads the library that `model/cuda/build` makes; ValueError where that fails."""
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        raise ValueError(f"operators: {error} (expected: what model/cuda/build makes)") from error


def operators_loaded() -> bool:
    return hasattr(torch.ops.uplift, "attend")


class OperatorUpsampler(nn.Module):
    """`UpsamplerGraph` with the operators: the same inputs and outputs. ValueError where they do not fit."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        if not isinstance(model.upsampler, Uplift):
            raise ValueError(f"upsampler: {type(model.upsampler).__name__} (expected: Uplift)")
        config = model.config
        readouts = [_readout(config.step_of(head), model.heads[head.name]) for head in config.heads]
        fast = FastUplift(
            model.upsampler, config.input.size, config.grid, readouts, "cuda", pool_products=False
        )
        if fast.steps and (fast.refiner is not None or fast.merge_mode != "nearest"):
            raise ValueError("a refiner, or maps that are merged bilinearly (expected: neither)")
        fast.pools = nn.ModuleList()
        _use_operators(fast)
        self.upsampler = fast.to(dtype, memory_format=torch.channels_last)
        self.upsampler.heads.float()
        self.normalise, self.dtype, self.config = Normalise(dtype, config), dtype, config

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        u = self.upsampler
        maps = u.encoder(encoder_image(self.normalise(frames), u.patch)) if u.steps else []
        x = features.to(self.dtype).contiguous(memory_format=torch.channels_last)
        outputs = self._read(0, x)
        for step in range(1, u.steps + 1):
            low, high = ((u.grid[0] << s, u.grid[1] << s) for s in (step - 1, step))
            guide = u.up(u.block_0(x, _nearest(maps[-1], low)))
            logits = _rows(u.block_1(guide, _nearest(maps[-2], high)))
            if step < u.steps:
                x = _planes(torch.ops.uplift.attend(logits, _rows(x)))
                outputs |= self._read(step, x)
            else:
                outputs |= self._last(logits, x)
        return tuple(tensor for i in range(len(outputs)) for tensor in outputs[i])

    def _read(self, step: int, x: Tensor) -> dict[int, list[Tensor]]:
        """The outputs of the heads that read the features of a step, by the head's number."""
        u = self.upsampler
        return {
            i: finish(head, resize(_precisely(u.heads[i], x), self.config.size_of(head)))
            for i, head in enumerate(self.config.heads)
            if u.readouts[i].step == step
        }

    def _last(self, logits: Tensor, x: Tensor) -> dict[int, list[Tensor]]:
        """The outputs of the heads that read the last step, whose map is never formed."""
        u = self.upsampler
        outputs = {}
        for i, head in enumerate(self.config.heads):
            if u.readouts[i].step < u.steps:
                continue
            # Linear heads commute with what follows; features handed out as they are stay in `dtype`.
            values = _rows(x if u.readouts[i].weight is None else _precisely(u.heads[i], x))
            size = self.config.size_of(head)
            if head.kind != "segmentation":
                outputs[i] = finish(head, torch.ops.uplift.attend_resize(logits, values, *size))
            elif head.confidence:
                outputs[i] = list(torch.ops.uplift.classify_confidence(logits, values, *size))
            else:
                outputs[i] = [torch.ops.uplift.classify(logits, values, *size)]
        return outputs


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _planes(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


# Scripted, so that the traced graph keeps both branches: cuDNN's fused calls exist on a GPU alone.
@torch.jit.script
def _conv_relu(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    if x.is_cuda:
        return torch.cudnn_convolution_relu(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1)
    return torch.relu(torch.conv2d(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1))


@torch.jit.script
def _conv_add_relu(x: Tensor, weight: Tensor, bias: Tensor, z: Tensor, stride: int) -> Tensor:
    if x.is_cuda:
        return torch.cudnn_convolution_add_relu(x, weight, z, 1.0, bias, [stride, stride], [1, 1], [1, 1], 1)
    return torch.relu(torch.conv2d(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1) + z)


class _OperatorBlock(nn.Module):
    """A FastBlock whose last 1x1 convolution's bias and residual are one pass."""

    def __init__(self, block: FastBlock) -> None:
        super().__init__()
        convs = block.convs
        if not isinstance(convs, BlockConvs) or convs.layer_norms:
            raise ValueError("a block with layer norms (expected: batch norms)")
        self.first, self.rest, self.skip = convs.first, nn.ModuleList(convs.later()[:-1]), block.skip
        self.residual, self.stride, self.width = block.residual, block.stride, block.width
        self.last, self.bias = convolution(convs.last.weight), convs.last.bias
        for conv in (self.first[0], *self.rest):
            if conv.bias is None:
                conv.bias = nn.Parameter(torch.zeros(conv.out_channels))

    def forward(self, *inputs: Tensor, residual: None = None) -> Tensor:
        first, *others = self.first
        if others:
            z = others[0](inputs[1])
            for conv, part in zip(others[1:], inputs[2:], strict=True):
                z = z + conv(part)
            x = _conv_add_relu(inputs[0], first.weight, first.bias, z, self.stride)
        else:
            x = _conv_relu(inputs[0], first.weight, first.bias, self.stride)
        for conv in self.rest:
            x = _conv_relu(x, conv.weight, conv.bias, 1)
        x, stride = self.last(x), self.stride
        if not self.residual:
            return x + self.bias[:, None, None]
        kept = inputs[0] if inputs[0].shape[1] >= self.width else torch.cat(inputs, dim=1)
        if self.skip is not None:
            kept, stride = kept[:, : self.width, ::stride, ::stride], 1
            kept = torch.conv2d(kept, self.skip.weight[:, : kept.shape[1]])
        return _planes(torch.ops.uplift.add_residual(_rows(x), self.bias, _rows(kept), stride))


class _OperatorUp(nn.Module):
    """An Up whose bias and residual are one pass."""

    def __init__(self, up: Up) -> None:
        super().__init__()
        self.up, self.residual = up.up, up.residual

    def forward(self, x: Tensor) -> Tensor:
        if not self.residual:
            return self.up(x)
        doubled = torch.conv_transpose2d(x, self.up.weight, stride=2)
        return _planes(torch.ops.uplift.add_doubled(_rows(doubled), self.up.bias, _rows(x)))


def _use_operators(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FastBlock):
            setattr(module, name, _OperatorBlock(child))
        elif isinstance(child, Up):
            setattr(module, name, _OperatorUp(child))
        else:
            _use_operators(child)


def _nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """As `resize` in mode nearest; at a whole ratio by `sample`."""
    (ratio, rest), (ratio_x, rest_x) = (divmod(int(x.shape[2 + i]), int(size[i])) for i in (0, 1))
    if ratio == ratio_x and ratio > 0 and rest == rest_x == 0:
        return x if ratio == 1 else _planes(torch.ops.uplift.sample(_rows(x), ratio))
    return resize(x, (int(size[0]), int(size[1])), "nearest")
