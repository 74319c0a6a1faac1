"""NAF (arXiv 2511.18452): one set of weights for any backbone; output sizes from the grid's.

Options and state-dict names are the authors'.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.upsamplers.attention import AxisBias, attend
from uplift_toolkit.upsamplers.base import Size, Upsampler, adaptive_pool, constant, grid_size, reflect_conv


class Block(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = reflect_conv(channels, channels, kernel, bias=True)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = reflect_conv(channels, channels, kernel, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.silu(self.norm1(x), inplace=True))
        return self.conv2(F.silu(self.norm2(x), inplace=True))


def branch(channels: int, kernel: int, layers: int) -> nn.Sequential:
    blocks = (Block(channels, kernel) for _ in range(layers))
    return nn.Sequential(reflect_conv(3, channels, kernel, bias=True), *blocks)


class Rope(nn.Module):
    """Rotates channels by angles that grow with the row and the column, in every head alike."""

    def __init__(self, channels: int, heads: int, base: float) -> None:
        super().__init__()
        self.heads = heads
        width = channels // heads
        periods = base ** (4 * torch.arange(width // 4, dtype=torch.float32) / width)
        self.register_buffer("periods", periods)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = (int(s) if i else s for i, s in enumerate(x.shape))
        parts = x.reshape(n, self.heads, 4, channels // self.heads // 4, height, width).unbind(dim=2)
        row, column = self._angles(height)[:, :, None], self._angles(width)[:, None]
        (row_cos, row_sin), (column_cos, column_sin) = (
            (angles.cos().to(x.dtype), angles.sin().to(x.dtype)) for angles in (row, column)
        )
        turned = [
            parts[0] * row_cos - parts[2] * row_sin,
            parts[1] * column_cos - parts[3] * column_sin,
            parts[2] * row_cos + parts[0] * row_sin,
            parts[3] * column_cos + parts[1] * column_sin,
        ]
        return torch.stack(turned, dim=2).reshape(n, channels, height, width)

    def _angles(self, length: int) -> Tensor:
        """[n/4,L], in fp32: bf16 would round neighbouring places to one."""
        places = 2 * (torch.arange(length, dtype=torch.float32) + 0.5) / length - 1
        return 2 * math.pi * constant(places, self.periods) / self.periods[:, None]


class ImageEncoder(nn.Module):
    def __init__(self, channels: int, heads: int, base: float, layers: int) -> None:
        super().__init__()
        self.encoder = branch(channels // 2, 1, layers)
        self.sem_encoder = branch(channels // 2, 3, layers)
        self.rope = Rope(channels, heads, base)

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([self.encoder(image), self.sem_encoder(image)], dim=1)


def neighbours(size: int, grid: int, kernel: int) -> AxisBias:
    """How many times each of `size` pixels attends to each of `grid` tokens, as logarithms.

    A pixel's neighbours are `kernel` pixels at steps of size // grid, moved inwards at the border; each
    stands for the token below it.
    """
    step = size // grid
    if step == 0 or kernel * step > size:
        raise ValueError(
            f"upsampler naf: {grid} features for {size} pixels of an axis (expected: no more features than "
            f"pixels, and about {kernel} or more)"
        )
    counts = [[0.0] * grid for _ in range(size)]
    for i in range(size):
        rest, place = i % step, i // step
        count = -(-(size - rest) // step)
        start = min(max(place - kernel // 2, 0), count - kernel)
        for j in range(start, start + kernel):
            pixel = rest + step * j
            counts[i][(2 * pixel + 1) * grid // (2 * size)] += 1
    return AxisBias(torch.tensor(counts).log())


class Naf(Upsampler):
    """Contiguous groups of channels have weights of their own, so a head is applied before them group by
    group, and the groups are added: worth it where it has less outputs than a group has channels."""

    def __init__(
        self,
        dim: int = 256,
        heads_attn: int = 4,
        heads_rope: int = 4,
        kernel_size: int = 9,
        use_encoder: bool = True,
        rope_base: float = 100.0,
        rope_rescale: float = 2.0,
        img_layers: int = 2,
    ) -> None:
        """`rope_rescale` is of training only."""
        super().__init__()
        if not use_encoder:
            raise ValueError("upsampler naf: use_encoder: False (expected: True)")
        self.heads, self.kernel = heads_attn, kernel_size
        self.image_encoder = ImageEncoder(dim, heads_rope, rope_base, img_layers)

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        for size, side in zip(wanted, grid, strict=True):
            neighbours(size, side, self.kernel)
        return wanted

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        return self._pool(guide, self._groups(features), size).flatten(1, 2)

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        groups = self._groups(features)
        if weight.shape[0] >= groups.shape[2]:
            return super().read(guide, features, size, weight, bias)
        parts = weight.unflatten(1, (self.heads, -1)).transpose(0, 1)  # [heads,K,C/heads]
        values = (parts @ groups.flatten(3)).unflatten(3, grid_size(features))
        return self._pool(guide, values, size).sum(dim=1) + bias[:, None, None]

    def _groups(self, features: Tensor) -> Tensor:
        """[N,heads,C/heads,h,w]"""
        if int(features.shape[1]) % self.heads:
            raise ValueError(
                f"upsampler naf: {int(features.shape[1])} channels (expected: a multiple of {self.heads})"
            )
        return features.unflatten(1, (self.heads, -1))

    def _pool(self, guide: list[Tensor], values: Tensor, size: Size) -> Tensor:
        """Values [N,heads,V,h,w] to [N,heads,V,*size]."""
        grid = grid_size(values[:, 0])
        image = guide[0]
        height, width = (int(side) for side in image.shape[2:])
        if height > 4 * size[0] or width > 4 * size[1]:
            most = 4 * min(size)  # the authors' limit of both sides is of the smaller one
            smaller = (min(height, most), min(width, most))
            image = F.interpolate(image, smaller, mode="bilinear", align_corners=False)
            encoded = self.image_encoder(image)
        else:  # the sizes share it
            if len(guide) == 1:
                guide.append(self.image_encoder(image))
            encoded = guide[1]
        q = self.image_encoder.rope(adaptive_pool(encoded, size))
        k = adaptive_pool(q, grid) * (q.shape[1] // self.heads) ** -0.5
        q, k = (x.unflatten(1, (self.heads, -1)) for x in (q, k))
        window = tuple(neighbours(s, g, self.kernel) for s, g in zip(size, grid, strict=True))
        return attend(q, k, values, window, mean=False)
