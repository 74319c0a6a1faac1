"""The encoder's and the decoder's blocks: batch norms folded, and concatenations never formed."""

import copy
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from uplift_toolkit.uplift import BlockGroup, ConvBlock, Down, Encoder, LayerNorm


def fold_batch_norms(layers: nn.Sequential) -> nn.Sequential:
    """The same layers, every batch norm folded into the convolution before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer)
        else:
            folded.append(copy.deepcopy(layer))
    return nn.Sequential(*folded)


def convolution(weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> nn.Conv2d:
    """A convolution with these weights [K,C,k,k] that keeps a map's size, but for the stride."""
    k, channels, size, _ = weight.shape
    conv = nn.Conv2d(channels, k, size, stride, padding=size // 2, bias=bias is not None)
    conv.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone())
    return conv


def split_convolution(conv: nn.Conv2d, widths: Sequence[int], stride: int = 1) -> list[nn.Conv2d]:
    """One convolution per input, whose sum is `conv` of their concatenation; the first has its bias.

    Channels beyond the widths count as zero.
    """
    ends = list(itertools.accumulate(widths))
    parts = [conv.weight[:, end - width : end] for width, end in zip(widths, ends, strict=True)]
    return [convolution(part, None if i else conv.bias, stride) for i, part in enumerate(parts)]


class BlockConvs(nn.Module):
    """The convolutions of a ConvBlock over the concatenation of maps, which is never formed.

    `convolved`: in place of the first map comes what the first convolution makes of it.
    """

    def __init__(
        self, block: ConvBlock, widths: Sequence[int], stride: int = 1, convolved: bool = False
    ) -> None:
        super().__init__()
        first, *rest, self.last = fold_batch_norms(block.conv)
        self.first = nn.ModuleList(split_convolution(first, widths, stride)[convolved:])
        self.rest = nn.Sequential(*rest)
        self.convolved = convolved
        self.layer_norms = any(isinstance(layer, LayerNorm) for layer in rest)

    def forward(self, *inputs: Tensor) -> Tensor:
        x, convs = inputs[0], list(self.first)
        if not self.convolved:
            x = convs.pop(0)(x)
        for conv, part in zip(convs, inputs[1:], strict=True):
            x = x.add_(conv(part))
        return self.last(self.rest(x))

    def later(self) -> list[nn.Conv2d]:
        """The convolutions behind the first one, in order."""
        return [layer for layer in (*self.rest, self.last) if isinstance(layer, nn.Conv2d)]


class FastBlock(nn.Module):
    """A ConvBlock over the concatenation of maps of the given widths.

    With `stride`, which a block with a single 3×3 convolution may have, only every stride-th pixel is
    computed. With `head`, a 1×1 convolution that follows the block, the head's output is computed, and the
    block's own never is. A block that gets its first map `convolved` has to be given the residual, too.
    """

    def __init__(
        self,
        block: ConvBlock,
        widths: Sequence[int],
        stride: int = 1,
        head: nn.Conv2d | None = None,
        convolved: bool = False,
    ) -> None:
        super().__init__()
        self.convs: nn.Module = BlockConvs(block, widths, stride, convolved)
        self.residual = block.residual
        self.width = self.convs.last.out_channels
        self.stride = stride
        self.skip: nn.Conv2d | None = None
        if head is not None:
            self.convs.last, skip = _compose(head, self.convs.last)
            self.skip = skip if block.residual else None

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        """`residual` is added in place of the inputs' first channels."""
        x = self.convs(*inputs)
        if not self.residual:
            return x
        kept = inputs[0] if residual is None else residual
        kept = kept if kept.shape[1] >= self.width else torch.cat(inputs, dim=1)
        kept = kept[:, : self.width, :: self.stride, :: self.stride]
        if self.skip is not None:
            return x.add_(F.conv2d(kept, self.skip.weight[:, : kept.shape[1]]))
        x[:, : kept.shape[1]].add_(kept)
        return x


def _compose(head: nn.Conv2d, last: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """head(last(h) + r) as one 1×1 convolution of h plus one, without bias, of r."""
    matrix = head.weight[:, :, 0, 0]
    weight = (matrix @ last.weight[:, :, 0, 0])[:, :, None, None]
    return convolution(weight, matrix @ last.bias + head.bias), convolution(head.weight)


class FastBlocks(nn.Module):
    """A BlockGroup: its first block reads several maps, its last one may have a `stride` or a `head`."""

    def __init__(
        self, group: BlockGroup, widths: Sequence[int], convolved: bool = False, **last: int | nn.Conv2d
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for i, block in enumerate(group.blocks):
            end = last if i == len(group.blocks) - 1 else {}
            self.blocks.append(FastBlock(block, widths, convolved=convolved and i == 0, **end))
            widths = [self.blocks[-1].width]

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        x = self.blocks[0](*inputs, residual=residual)
        for block in self.blocks[1:]:
            x = block(x)
        return x


class FastEncoder(nn.Module):
    """The encoder's maps; the last one only at every `stride`-th pixel."""

    def __init__(self, encoder: Encoder, stride: int) -> None:
        super().__init__()
        widths = [3, *encoder.widths]
        self.downs = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for i, each in enumerate([*[1] * encoder.down_steps, stride]):
            self.downs.append(_folded_down(getattr(encoder, f"down_{i}")) if i else nn.Identity())
            self.blocks.append(FastBlocks(getattr(encoder, f"block_{i}"), [widths[i]], stride=each))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        x = image
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(x))
            maps.append(x)
        return maps


def _folded_down(down: Down) -> Down:
    down = copy.deepcopy(down)
    if isinstance(down.down, nn.Sequential):
        down.down = fold_batch_norms(down.down)
    return down
