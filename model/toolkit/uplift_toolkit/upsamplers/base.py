"""What every upsampler of this package is asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.uplift import resize

BAND = 1 << 21  # numbers of a map that are computed at a time for each frame, where that saves memory
Size = tuple[int, int]
"""Height and width."""


class Upsampler(nn.Module):
    """An image [N,3,H,W], normalised, and features [N,C,h,w] to features [N,C,*size].

    A linear head is read through `read`, which a kind overrides where it can apply the head earlier than at
    every pixel. `guide` is what a kind computes of image and features whatever the size: several sizes share
    it.
    """

    ignored: tuple[str, ...] = ()  # beginnings of names in published checkpoints that are no part of it

    @classmethod
    def arguments(cls, channels: int, patch: int) -> dict[str, Any]:
        """The constructor's arguments that the backbone decides."""
        return {}

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        """The smallest size it gives that is not below `wanted`, else its largest; ValueError if none."""
        return wanted

    def guide(self, image: Tensor, features: Tensor) -> list[Tensor]:
        return [image]

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        raise NotImplementedError

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        """The head `weight` [K,C], `bias` [K] of every pixel: [N,K,*size]."""
        return pixel_linear(self.upsample(guide, features, size), weight, bias)

    def read_all(
        self, guide: list[Tensor], features: Tensor, heads: Sequence[tuple[Size, Tensor, Tensor]]
    ) -> list[Tensor]:
        """`read` of several heads: size, weight and bias each. Those of one size share an upsampling."""
        maps: dict[int, Tensor] = {}
        for size in dict.fromkeys(size for size, _, _ in heads):
            read = [i for i, (other, _, _) in enumerate(heads) if other == size]
            weight, bias = (torch.cat([heads[i][part] for i in read]) for part in (1, 2))
            together = self.read(guide, features, size, weight, bias)
            maps |= zip(read, together.split([len(heads[i][2]) for i in read], dim=1), strict=True)
        return [maps[i] for i in range(len(heads))]

    def forward(self, image: Tensor, features: Tensor, size: Size) -> Tensor:
        return self.upsample(self.guide(image, features), features, size)

    def maps(self, image: Tensor, features: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """The features at each of the sizes, resized where it does not give them."""
        guide = self.guide(image, features)
        image_size, grid = grid_size(image), grid_size(features)
        given = [self.size_for(size, image_size, grid) for size in sizes]
        upsampled = {size: self.upsample(guide, features, size) for size in set(given)}
        return [resize(upsampled[at], size) for at, size in zip(given, sizes, strict=True)]


class Commuting(Upsampler):
    """An upsampler whose pixels are sums of features with weights that all channels share and that add up to
    one: `pool` [N,K,h,w] to [N,K,*size] is linear, and so a head commutes with it, bias included."""

    def pool(self, guide: list[Tensor], values: Tensor, size: Size) -> Tensor:
        raise NotImplementedError

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        return self.pool(guide, features, size)

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        return self.pool(guide, pixel_linear(features, weight, bias), size)


def pixel_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`weight` [K,C] of every pixel of [N,C,H,W], as a product: oneDNN 3.7 gets some convolutions wrong."""
    n, _, height, width = x.shape
    y = weight @ x.flatten(2)
    return (y if bias is None else y + bias[:, None]).reshape(n, weight.shape[0], height, width)


def row_bands(x: Tensor) -> Iterator[slice]:
    """Rows of [N,C,H,W] that hold about `BAND` numbers of each frame together."""
    height = int(x.shape[2])
    rows = max(1, BAND // (int(x.shape[1]) * int(x.shape[3])))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def normed_linear(x: Tensor, norm: nn.GroupNorm, conv: nn.Conv2d, onto: Tensor | None = None) -> Tensor:
    """conv1×1(SiLU(norm x)), added to `onto`, in its place, if there is one.

    Where no gradient is asked for, the map between norm and convolution exists by bands alone.
    """
    if torch.is_grad_enabled():
        y = conv(F.silu(norm(x), inplace=True))
        return y if onto is None else y + onto
    n, channels, groups = x.shape[0], int(x.shape[1]), norm.num_groups
    each = channels // groups

    def mean_of(rows: Tensor) -> Tensor:
        """Means of the groups, for every channel [N,C,1,1], from those of rows [N,C,H]. A sum of millions,
        one number after the other, would be too far off."""
        return rows.reshape(n, groups, -1).mean(dim=2).repeat_interleave(each, dim=1)[:, :, None, None]

    mean = mean_of(x.mean(dim=3))
    lengths = [torch.linalg.vector_norm(x[:, :, band] - mean, dim=3) for band in row_bands(x)]
    variance = mean_of(torch.cat(lengths, dim=2).square()) / x.shape[3]
    scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None, None]
    shift = norm.bias[:, None, None] - mean * scale
    weight = conv.weight.flatten(1)
    # Written in place: pieces kept between large temporary maps scatter them, and memory grows.
    out = x.new_empty((n, weight.shape[0], x.shape[2], x.shape[3])) if onto is None else onto
    for band in row_bands(x):
        y = F.silu(torch.addcmul(shift, x[:, :, band], scale), inplace=True)
        y = pixel_linear(y, weight)
        out[:, :, band] = y if onto is None else out[:, :, band] + y
    return out


def adaptive_pool(x: Tensor, size: Size) -> Tensor:
    """Adaptive average pooling, which also enlarges."""
    return x if tuple(x.shape[2:]) == tuple(size) else F.adaptive_avg_pool2d(x, size)


def grid_size(features: Tensor) -> Size:
    return int(features.shape[2]), int(features.shape[3])


def constant(x: Tensor, like: Tensor) -> Tensor:
    """A small tensor that depends on sizes alone, for computing with `like`.

    Traced, it stays a constant, which goes where the graph is loaded to; a move would write the device into
    the graph.
    """
    return x if torch.jit.is_tracing() else x.to(like)


def unit(x: Tensor) -> Tensor:
    """Every pixel of [N,C,H,W] at length one."""
    return F.normalize(x, dim=1)


def reflect_conv(inputs: int, outputs: int, kernel: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect", bias=bias)
