"""AnyUp (arXiv 2510.12764): one set of weights for any backbone, any output size.

Options and state-dict names are the authors'.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.upsamplers.attention import AxisBias, EdgeRope
from uplift_toolkit.upsamplers.base import (
    Commuting,
    Size,
    adaptive_pool,
    grid_size,
    normed_linear,
    reflect_conv,
    unit,
)
from uplift_toolkit.upsamplers.jafar import CrossDecode

MAPS = 1 << 23  # numbers of the features' filtered maps that exist at a time for each frame


class ResidualBlock(nn.Module):
    """Without gradients it writes to its input, where that is added to the output as it is."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(8, inputs),
            nn.SiLU(inplace=True),
            nn.Conv2d(inputs, channels, 1, bias=False),
            nn.GroupNorm(8, channels),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
        )
        self.shortcut = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = normed_linear(x, self.block[0], self.block[2])
        return normed_linear(y, self.block[3], self.block[5], onto=self.shortcut(x))


def encoder(first: nn.Module, inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(first, ResidualBlock(inputs, channels), ResidualBlock(channels, channels))


class LearnedFeatureUnification(nn.Module):
    """Features of any number of channels [N,C,h,w] to M maps: each channel filtered by M kernels, softmax
    over the maps, mean over the channels.

    The authors write the filtered maps channel by channel and read them map by map, without a transpose:
    the output depends on the channels' order, and released weights are made for that.
    """

    def __init__(self, maps: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.basis = nn.Parameter(torch.randn(maps, 1, kernel, kernel))

    def forward(self, features: Tensor) -> Tensor:
        n, channels, h, w = features.shape
        maps, reach = len(self.basis), self.kernel // 2
        x = F.pad(features, (reach,) * 4)
        inside = F.pad(torch.ones_like(features[:1, :1]), (reach,) * 4)
        side = max(1, MAPS // (int(channels) * maps * int(w)))
        bands = []
        for top in range(0, int(h), side):
            band = slice(top, min(top + side, int(h)) + 2 * reach)
            filtered = F.conv2d(x[:, :, band].flatten(0, 1)[:, None], self.basis)
            filtered = filtered / F.conv2d(inside[:, :, band], torch.ones_like(self.basis[:1]))
            filtered = filtered.reshape(n, maps, channels, -1, w)
            bands.append(filtered.softmax(dim=1).mean(dim=2))
        return torch.cat(bands, dim=2)


def window(size: int, grid: int, ratio: float) -> AxisBias:
    """The tokens within `ratio` of the axis around each of `size` pixels; the rounding is the authors'."""
    places = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    low = ((places - ratio).clamp(0, 1) * grid).floor()[:, None]
    high = ((places + ratio).clamp(0, 1) * grid).ceil()[:, None]
    tokens = torch.arange(grid)
    outside = (tokens < low) | (tokens >= high)
    return AxisBias(torch.zeros(size, grid).masked_fill(outside, -torch.inf))


class AnyUp(Commuting):
    def __init__(
        self,
        input_dim: int = 3,
        qk_dim: int = 128,
        kernel_size: int = 1,
        kernel_size_lfu: int = 5,
        window_ratio: float = 0.1,
        num_heads: int = 4,
        lfu_dim: int | None = None,
    ) -> None:
        super().__init__()
        maps = lfu_dim or qk_dim
        self.window_ratio = window_ratio
        self.image_encoder = encoder(reflect_conv(input_dim, qk_dim, kernel_size), qk_dim, qk_dim)
        self.key_encoder = encoder(reflect_conv(qk_dim, qk_dim, 1), qk_dim, qk_dim)
        self.query_encoder = encoder(reflect_conv(qk_dim, qk_dim, 1), qk_dim, qk_dim)
        self.key_features_encoder = encoder(LearnedFeatureUnification(maps, kernel_size_lfu), maps, qk_dim)
        self.aggregation = encoder(reflect_conv(2 * qk_dim, qk_dim, 3), qk_dim, qk_dim)
        self.rope = EdgeRope(qk_dim)
        self.cross_decode = CrossDecode(qk_dim, num_heads)

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        if min(grid) < 2:
            raise ValueError(f"upsampler anyup: {grid[0]}x{grid[1]} features (expected: at least 2x2)")
        return wanted

    def guide(self, image: Tensor, features: Tensor) -> list[Tensor]:
        """Queries at the image's size, and keys."""
        encoded = self.rope(self.image_encoder(image))
        keys = adaptive_pool(self.key_encoder(encoded), grid_size(features))
        keys = torch.cat([keys, self.key_features_encoder(unit(features))], dim=1)
        return [self.query_encoder(encoded), self.aggregation(keys)]

    def pool(self, guide: list[Tensor], values: Tensor, size: Size) -> Tensor:
        queries = self.cross_decode.conv2d(adaptive_pool(guide[0], size))
        windows = None
        if self.window_ratio > 0:
            windows = tuple(
                window(s, g, self.window_ratio) for s, g in zip(size, grid_size(values), strict=True)
            )
        return self.cross_decode.cross_attn(queries, guide[1], values, windows)
