"""Attention of pixels over the tokens of a feature grid, by tiles of pixels, so that memory stays bounded."""

import torch
from torch import Tensor, nn

from uplift_toolkit.upsamplers.base import constant, pixel_linear, row_bands

SCORES = 1 << 22  # attention scores that exist at a time for each frame
BLOCKS = 32  # tiles along an axis, at most, where pixels attend to a window


class AxisBias:
    """What is added to the scores of a pixel row (or column) for every row (or column) of tokens [L,l].

    Minus infinity keeps tokens out of the window; the logarithm of m counts a token m times.
    """

    def __init__(self, bias: Tensor) -> None:
        self.blocks: list[tuple[int, int, int, int, Tensor]] = []
        pixels, tokens = bias.shape
        side = -(-pixels // min(BLOCKS, -(-tokens // 2)))
        for low in range(0, pixels, side):
            block = bias[low : low + side]
            read = block.isfinite().any(dim=0).nonzero()
            first, end = int(read.min()), int(read.max()) + 1
            self.blocks.append((low, min(low + side, pixels), first, end, block[:, first:end].clone()))


def attend(
    q: Tensor, k: Tensor, values: Tensor, window: tuple[AxisBias, AxisBias] | None, mean: bool
) -> Tensor:
    """softmax(q·k) over tokens, times values.

    q [N,heads,D,H,W], k [N,heads,D,h,w], one of them scaled, and values [N,heads,V,h,w] give [N,heads,V,H,W].
    With `mean` the heads' weights are averaged, and values and output have one head. `window` holds the
    biases of rows and columns.
    """
    heads, _, height, width = (int(side) for side in q.shape[1:])
    h, w = (int(side) for side in k.shape[3:])
    if window is None:
        side = max(1, SCORES // (heads * width * h * w))
        rows = [(low, min(low + side, height), 0, h, None) for low in range(0, height, side)]
        columns = [(0, width, 0, w, None)]
    else:
        rows, columns = window[0].blocks, window[1].blocks
    # Without gradients written in place: pieces kept between large temporary maps scatter them, and memory
    # grows.
    whole = None
    if not torch.is_grad_enabled():
        whole = values.new_empty((*values.shape[:3], height, width))
    bands = []
    # Split, not sliced: the gradient of a slice is a map of zeros as large as q.
    heights, widths = ([end - first for first, end, *_ in blocks] for blocks in (rows, columns))
    for (top, bottom, first, end, row_bias), band in zip(rows, q.split(heights, dim=3), strict=True):
        tiles = []
        pairs = zip(columns, band.split(widths, dim=4), strict=True)
        for (left, right, start, stop, column_bias), queries in pairs:
            scores = queries.flatten(3).transpose(2, 3) @ k[:, :, :, first:end, start:stop].flatten(3)
            if row_bias is not None and column_bias is not None:
                pixels, tokens = (bottom - top, right - left), (end - first, stop - start)
                scores = scores.unflatten(3, tokens).unflatten(2, pixels)
                scores = scores + constant(row_bias, scores)[:, None, :, None]
                scores = scores + constant(column_bias, scores)[:, None, :]
                scores = scores.flatten(4, 5).flatten(2, 3)
            weights = scores.softmax(dim=-1)
            if mean:
                weights = weights.mean(dim=1, keepdim=True)
            tile = values[:, :, :, first:end, start:stop].flatten(3) @ weights.transpose(2, 3)
            tile = tile.unflatten(3, (bottom - top, right - left))
            if whole is not None:
                whole[:, :, :, top:bottom, left:right] = tile
            else:
                tiles.append(tile)
        if tiles:
            bands.append(torch.cat(tiles, dim=4))
    return torch.cat(bands, dim=3) if whole is None else whole


class RMSNorm(nn.Module):
    """x / √(mean x² + ε) · weight over the channels of [N,D,H,W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def project(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """`weight` [D,D] and `bias` [D] of the norm, which is never written."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        share = torch.rsqrt(length.square() / x.shape[1] + torch.finfo(torch.float32).eps)
        return pixel_linear(x, weight * self.weight).mul_(share).add_(bias[:, None, None])


class MeanAttention(nn.Module):
    """JAFAR's and AnyUp's attention: the heads' weights are averaged and pool the values as they are.

    `attention` holds the published names; its projections of values and outputs are never computed, and
    neither is `norm_v`.
    """

    def __init__(self, channels: int, heads: int, value_channels: int | None = None) -> None:
        """`value_channels`, where the checkpoint has weights of values."""
        super().__init__()
        self.norm_q = RMSNorm(channels)
        self.norm_k = RMSNorm(channels)
        if value_channels is not None:
            self.norm_v = RMSNorm(value_channels)
        self.attention = nn.MultiheadAttention(channels, heads, vdim=value_channels)

    def forward(
        self, q: Tensor, k: Tensor, values: Tensor, window: tuple[AxisBias, AxisBias] | None = None
    ) -> Tensor:
        """q [N,D,H,W], k [N,D,h,w], values [N,V,h,w] to [N,V,H,W]."""
        channels, heads = self.attention.embed_dim, self.attention.num_heads
        weights = (
            (self.attention.q_proj_weight, self.attention.k_proj_weight)
            if self.attention.in_proj_weight is None
            else self.attention.in_proj_weight.split(channels)
        )
        bias = self.attention.in_proj_bias.split(channels)
        scale = (channels // heads) ** -0.5
        q = self.norm_q.project(q, weights[0] * scale, bias[0] * scale)
        k = self.norm_k.project(k, weights[1], bias[1])
        q, k = (x.unflatten(1, (heads, -1)) for x in (q, k))
        return attend(q, k, values[:, None], window, mean=True)[:, 0]


def turned(e: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """A map [N,D,H,W], its halves of channels turned against each other by angles of cosine and sine `rows`
    [D,H,1] and `columns` [D,1,W]."""
    other = torch.cat([-e[:, e.shape[1] // 2 :], e[:, : e.shape[1] // 2]], dim=1)
    along = (e * rows[0]).addcmul_(other, rows[1])
    across = (other * rows[0]).addcmul_(e, -rows[1])
    return (along * columns[0]).addcmul_(across, columns[1])


class EdgeRope(nn.Module):
    """Positions as angles, of a map [N,D,H,W] whose first pixel is at 0 and last at 1 on both axes.

    Not a rotation: the angles of the two halves of the channels are learned apart. Without gradients it
    writes to its input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = 2 * torch.pi * 100 ** torch.linspace(0, -1, channels // 4)
        axis, none = torch.cat([frequencies, frequencies]), torch.zeros(channels // 2)
        self.freqs = nn.Parameter(torch.stack([torch.cat([axis, none]), torch.cat([none, axis])]))

    def forward(self, e: Tensor) -> Tensor:
        # Each axis has its turn, or a constant as large as the map would be part of an exported graph.
        rows, columns = self._axis(0, e.shape[2], e), self._axis(1, e.shape[3], e)
        if torch.is_grad_enabled():
            return turned(e, rows, columns)
        for band in row_bands(e):
            e[:, :, band] = turned(e[:, :, band], tuple(v[:, band] for v in rows), columns)
        return e

    def _axis(self, axis: int, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [D,L,1] or [D,1,L], of angles in the precision of the weights: bf16 would round
        neighbouring places to one."""
        places = constant(torch.linspace(0, 1, int(length)), self.freqs)
        angles = (self.freqs[axis][:, None] * places).unsqueeze(2 - axis)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)
