"""Products that are pooled in place of wide features."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uplift_toolkit.fast.blocks import convolution, fold_batch_norms, split_convolution
from uplift_toolkit.fast.pools import Rows
from uplift_toolkit.uplift import ConvBlock

_SHIFTED = (
    (slice(1, None), slice(-1)),
    (slice(None), slice(None)),
    (slice(-1), slice(1, None)),
)
"""The rows or columns that have a neighbour before, at and behind them, and those neighbours."""

TAPS = list(itertools.product(_SHIFTED, repeat=2))  # the rows and columns of a 3x3 kernel's taps, row by row
CENTRE = len(TAPS) // 2  # the tap that reads the pixel itself


class FeatureProducts(nn.Module):
    """All that a block and the heads read of features [N,C,h,w], as one 1×1 convolution: products [N,P,h,w].

    Attention pooling is a weighted mean of pixels, so it commutes with what is linear in each: with a head,
    and with every tap of the 3×3 convolution that begins the block. Products are pooled in place of
    features, whose width then matters at the backbone's grid alone. They are, in order, the block's
    residual, the taps, and the outputs of the heads.
    """

    BAND = 32  # rows whose taps are summed at a time: all products of the finest grid need not exist

    def __init__(self, block: ConvBlock, channels: int, heads: Sequence[nn.Conv2d]) -> None:
        """The block's first input are features of so many channels."""
        super().__init__()
        (conv,) = split_convolution(fold_batch_norms(block.conv)[0], [channels])
        residual = block.conv[-1].out_channels
        self.bias = conv.bias
        self.heads = [head.out_channels for head in heads]
        self.sizes = [residual, *[conv.out_channels] * len(TAPS), sum(self.heads)]
        taps = conv.weight.permute(2, 3, 0, 1).flatten(0, 2)
        weights = [torch.eye(residual, channels), taps, *(head.weight[:, :, 0, 0] for head in heads)]
        biases = [torch.zeros(residual + len(taps))]
        biases += [
            torch.zeros(n) if h.bias is None else h.bias for n, h in zip(self.heads, heads, strict=True)
        ]
        self.linear = convolution(torch.cat(weights)[:, :, None, None], torch.cat(biases))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def read(self, products: Rows, height: int) -> tuple[Tensor, Tensor, Tensor]:
        """The convolution's output, the residual and the outputs of all heads, from all rows of products."""
        bands = []
        for low in range(0, height, self.BAND):
            top, high = max(low - 1, 0), min(low + self.BAND, height)
            residual, *taps, heads = products(top, min(high + 1, height)).split(self.sizes, dim=3)
            x = taps[CENTRE].clone() if self.bias is None else taps[CENTRE] + self.bias
            for i, ((to_row, row), (to_column, column)) in enumerate(TAPS):
                if i != CENTRE:
                    x[:, to_row, to_column].add_(taps[i][:, row, column])
            # Copies: views would keep the band's products.
            bands.append([part[:, low - top : high - top].clone() for part in (x, residual, heads)])
        whole = [torch.cat(parts, dim=1).permute(0, 3, 1, 2) for parts in zip(*bands, strict=True)]
        return whole[0], whole[1], whole[2]
