"""The upsampler's graph with the operators: what an export of it calls, and in which layout.

Maps between operators are [N,H,W,C] and contiguous; as [N,C,H,W] they are channels_last, which convolutions
keep, so that `rows` and `planes` copy nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from uplift_toolkit.fast import BlockConvs, FastBlock, FastUplift, Readout, _precisely
from uplift_toolkit.graph import Normalise, _readout, finish
from uplift_toolkit.model import DenseModel
from uplift_toolkit.uplift import Up, encoder_image, resize


def rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def planes(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


# Scripted, so that the traced graph keeps both branches: cuDNN's fused calls exist on a GPU alone.
@torch.jit.script
def conv_relu(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    if x.is_cuda:
        return torch.cudnn_convolution_relu(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1)
    return torch.relu(torch.conv2d(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1))


@torch.jit.script
def conv_add_relu(x: Tensor, weight: Tensor, bias: Tensor, z: Tensor, stride: int) -> Tensor:
    if x.is_cuda:
        return torch.cudnn_convolution_add_relu(x, weight, z, 1.0, bias, [stride, stride], [1, 1], [1, 1], 1)
    return torch.relu(torch.conv2d(x, weight, bias, [stride, stride], [1, 1], [1, 1], 1) + z)


class OperatorBlock(nn.Module):
    """A FastBlock whose last 1x1 convolution's bias and residual are one pass."""

    def __init__(self, block: FastBlock) -> None:
        super().__init__()
        convs = block.convs
        if not isinstance(convs, BlockConvs) or any(not isinstance(n, nn.Identity) for n in convs.norms):
            raise ValueError("a block with a norm that is not folded (expected: batch norms)")
        self.convs, self.skip = convs, block.skip
        self.residual, self.stride, self.width = block.residual, block.stride, block.width
        for conv in (convs.first[0], *convs.rest):
            if conv.bias is None:
                conv.bias = nn.Parameter(torch.zeros(conv.out_channels))

    def forward(self, *inputs: Tensor, residual: None = None) -> Tensor:
        first, *others = self.convs.first
        if others:
            z = others[0](inputs[1])
            for conv, part in zip(others[1:], inputs[2:], strict=True):
                z = z + conv(part)
            x = conv_add_relu(inputs[0], first.weight, first.bias, z, self.stride)
        else:
            x = conv_relu(inputs[0], first.weight, first.bias, self.stride)
        for conv in self.convs.rest:
            x = conv_relu(x, conv.weight, conv.bias, 1)
        last = self.convs.last
        if not self.residual:
            return last(x)
        x, stride = F.conv2d(x, last.weight), self.stride
        kept = inputs[0] if inputs[0].shape[1] >= self.width else torch.cat(inputs, dim=1)
        if self.skip is not None:
            kept, stride = kept[:, : self.width, ::stride, ::stride], 1
            kept = F.conv2d(kept, self.skip.weight[:, : kept.shape[1]])
        return planes(torch.ops.uplift.add_residual(rows(x), last.bias, rows(kept), stride))


class OperatorUp(nn.Module):
    """An Up whose bias and residual are one pass."""

    def __init__(self, up: Up) -> None:
        super().__init__()
        self.up, self.residual = up.up, up.residual

    def forward(self, x: Tensor) -> Tensor:
        if not self.residual:
            return self.up(x)
        doubled = F.conv_transpose2d(x, self.up.weight, stride=2)
        return planes(torch.ops.uplift.add_doubled(rows(doubled), self.up.bias, rows(x)))


def use_operators(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FastBlock):
            setattr(module, name, OperatorBlock(child))
        elif isinstance(child, Up):
            setattr(module, name, OperatorUp(child))
        else:
            use_operators(child)


def nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """As `resize` in mode nearest; at a whole ratio by `sample`."""
    (ratio, rest), (ratio_x, rest_x) = (divmod(int(x.shape[2 + i]), int(size[i])) for i in (0, 1))
    if ratio == ratio_x and ratio > 0 and rest == rest_x == 0:
        return x if ratio == 1 else planes(torch.ops.uplift.sample(rows(x), ratio))
    return resize(x, (int(size[0]), int(size[1])), "nearest")


class OperatorUpsampler(nn.Module):
    """`UpsamplerGraph` with the operators: the same inputs and outputs. ValueError where they do not fit."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        config = model.config
        image, patch = (config.input.height, config.input.width), config.vit.patch
        readouts: list[Readout] = [
            _readout(config.step_of(head), model.heads[head.name]) for head in config.heads
        ]
        fast = FastUplift(
            model.upsampler, image, (image[0] // patch, image[1] // patch), readouts, True, False
        )
        if fast.refiner is not None or fast.merge_mode != "nearest":
            raise ValueError("a refiner, or maps that are merged bilinearly (expected: neither)")
        use_operators(fast)
        self.upsampler = fast.to(memory_format=torch.channels_last).lower_precision(dtype)
        self.normalise, self.dtype, self.config = Normalise(dtype, config), dtype, config

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        u = self.upsampler
        maps = u.encoder(encoder_image(self.normalise(frames), u.patch)) if u.steps else []
        x = features.to(self.dtype).contiguous(memory_format=torch.channels_last)
        outputs: dict[int, list[Tensor]] = {}
        for step in range(u.steps + 1):
            for i, (head, readout) in enumerate(zip(self.config.heads, u.readouts, strict=True)):
                if readout.step == step and (step < u.steps or step == 0):
                    at = resize(_precisely(u.heads[i], x), self.config.size_of(head))
                    outputs[i] = finish(head, at)
            if step == u.steps:
                break
            low, high = ((u.grid[0] << s, u.grid[1] << s) for s in (step, step + 1))
            guide = u.up(u.block_0(x, nearest(maps[-1], low)))
            logits = rows(u.logits(guide, nearest(maps[-2], high)))
            if step + 1 < u.steps:
                x = planes(torch.ops.uplift.attend(logits, rows(x)))
                continue
            for i, (head, readout) in enumerate(zip(self.config.heads, u.readouts, strict=True)):
                if readout.step < u.steps:
                    continue
                # Linear heads commute with what follows; features handed out as they are stay in `dtype`.
                values = rows(x if readout.weight is None else _precisely(u.heads[i], x))
                size = self.config.size_of(head)
                if head.kind != "segmentation":
                    outputs[i] = finish(head, torch.ops.uplift.attend_resize(logits, values, *size))
                elif head.confidence:
                    outputs[i] = list(torch.ops.uplift.classify_confidence(logits, values, *size))
                else:
                    outputs[i] = [torch.ops.uplift.classify(logits, values, *size)]
        return tuple(tensor for i in range(len(outputs)) for tensor in outputs[i])
