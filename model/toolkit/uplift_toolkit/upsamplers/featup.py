"""FeatUp's stack of joint bilateral upsamplers (arXiv 2403.10516): trained for one backbone; gives 16 times
the grid.

Options and state-dict names are the authors'.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.upsamplers.base import Size, Upsampler, adaptive_pool, constant, pixel_linear

RADIUS = 3
SIDE = 2 * RADIUS + 1
STEPS = 4
ROWS = 8  # that are computed at a time


def projection(inputs: int, outputs: int) -> nn.Sequential:
    # In training the third module drops channels.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1), nn.GELU(), nn.Identity(), nn.Conv2d(outputs, outputs, 1)
    )


class ChannelNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class JointBilateral(nn.Module):
    """Doubles a map: bicubic, then a 7×7 kernel at every pixel, made of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.range_temp = nn.Parameter(torch.tensor(0.0))
        self.sigma_spatial = nn.Parameter(torch.tensor(1.0))
        self.range_proj = projection(3, 32)
        self.fixup_proj = projection(SIDE**2 + 3, SIDE**2)

    def kernel(self, image: Tensor, size: Size) -> Tensor:
        """[N,49,*size]; the sums of its kernels are not one."""
        guide = adaptive_pool(image, size)
        p = self.range_proj(guide)
        if torch.jit.is_tracing():
            alike = torch.stack([(x * p).sum(dim=1) for x in shifted(p)], dim=1)
        else:
            p = p.float().contiguous()  # the products make logits
            alike = NeighbourProducts.apply(p, reflected(p))
        weights = (self.range_temp.exp().clamp(1e-4, 1e4) * alike).softmax(dim=1)
        places = constant(torch.linspace(-1, 1, SIDE), p)
        distance = places.square()[:, None] + places.square()
        weights = weights * (-distance / (2 * self.sigma_spatial**2)).exp().reshape(-1, 1, 1)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-7)
        return weights + 0.1 * self.fixup_proj(torch.cat([weights, guide], dim=1))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        size = (2 * int(x.shape[2]), 2 * int(x.shape[3]))
        kernel = self.kernel(image, size)
        x = F.interpolate(x, size, mode="bicubic", align_corners=False)
        if not torch.jit.is_tracing():
            return NeighbourSum.apply(reflected(x), kernel.to(x.dtype))
        out = torch.zeros_like(x)
        for i, neighbour in enumerate(shifted(x)):
            out = torch.addcmul(out, neighbour, kernel[:, i : i + 1])
        return out


class NeighbourSum(torch.autograd.Function):
    """Padded maps [N,C,H+6,W+6] and kernels [N,49,H,W] to the sums [N,C,H,W] of neighbours times kernels."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(padded, kernel)
        return summed(padded, kernel)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        padded, kernel = ctx.saved_tensors
        return spread(gradient, kernel), products(gradient, padded)


class NeighbourProducts(torch.autograd.Function):
    """Maps [N,C,H,W], and the same padded [N,C,H+6,W+6], to the products [N,49,H,W] of every pixel and its
    neighbours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, padded: Tensor) -> Tensor:
        ctx.save_for_backward(x, padded)
        return products(x, padded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, padded = ctx.saved_tensors
        return summed(padded, gradient), spread(x, gradient)


# By bands of rows, which stay in the cache, and in place: autograd would make a map of its own for each
# neighbour.


def summed(padded: Tensor, kernel: Tensor) -> Tensor:
    out = padded.new_zeros(*padded.shape[:2], *kernel.shape[2:])
    for rows, around in bands(out):
        for i, neighbour in enumerate(windows(padded[:, :, around])):
            out[:, :, rows].addcmul_(neighbour, kernel[:, i : i + 1, rows])
    return out


def products(x: Tensor, padded: Tensor) -> Tensor:
    out = x.new_empty(x.shape[0], SIDE**2, *x.shape[2:])
    for rows, around in bands(x):
        for i, neighbour in enumerate(windows(padded[:, :, around])):
            out[:, i, rows] = (x[:, :, rows] * neighbour).sum(dim=1)
    return out


def spread(x: Tensor, kernel: Tensor) -> Tensor:
    """Every pixel times its kernel, added to its neighbours: a padded map."""
    padded = x.new_zeros(*x.shape[:2], *(side + 2 * RADIUS for side in x.shape[2:]))
    for rows, around in bands(x):
        for i, neighbour in enumerate(windows(padded[:, :, around])):
            neighbour.addcmul_(x[:, :, rows], kernel[:, i : i + 1, rows])
    return padded


def bands(x: Tensor) -> list[tuple[slice, slice]]:
    """A few rows of a map at a time, and the rows of the padded map that their neighbours are in."""
    starts = range(0, x.shape[2], ROWS)
    ends = [min(top + ROWS, x.shape[2]) for top in starts]
    return [(slice(a, b), slice(a, b + 2 * RADIUS)) for a, b in zip(starts, ends, strict=True)]


def reflected(x: Tensor) -> Tensor:
    return F.pad(x, (RADIUS,) * 4, mode="reflect")


def shifted(x: Tensor) -> list[Tensor]:
    """The 49 neighbours of every pixel, row by row; beyond the border the map is reflected."""
    return windows(reflected(x))


def windows(padded: Tensor) -> list[Tensor]:
    """The 49 neighbours of every pixel of a map that is padded already."""
    height, width = (int(side) - 2 * RADIUS for side in padded.shape[2:])
    return [padded[:, :, i : i + height, j : j + width] for i in range(SIDE) for j in range(SIDE)]


class Stack(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up1 = JointBilateral()
        self.up2 = JointBilateral()
        self.up3 = JointBilateral()
        self.up4 = JointBilateral()
        self.fixup_proj = nn.Sequential(nn.Identity(), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, image)
        return x


class FeatUp(Upsampler):
    """The kernels are of the image alone and the same for all channels, so a head is applied before them."""

    ignored = ("model.0.", "downsampler.", "scale_net.")  # the backbone, and what only training reads

    def __init__(self, feat_dim: int, use_norm: bool = True) -> None:
        super().__init__()
        # The place of the backbone in the authors' sequence is empty here.
        self.model = nn.Sequential(nn.Identity(), ChannelNorm(feat_dim) if use_norm else nn.Identity())
        self.upsampler = Stack(feat_dim)

    @classmethod
    def arguments(cls, channels: int, patch: int) -> dict[str, Any]:
        return {"feat_dim": channels}

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        if min(grid) < 2:
            raise ValueError(f"upsampler featup: {grid[0]}x{grid[1]} features (expected: at least 2x2)")
        return grid[0] << STEPS, grid[1] << STEPS

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        x = self.upsampler(self.model(features), guide[0])
        return x + 0.1 * self.upsampler.fixup_proj(x)

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        fixup = self.upsampler.fixup_proj[1]
        whole = weight + 0.1 * weight @ fixup.weight.flatten(1)
        x = self.upsampler(pixel_linear(self.model(features), whole), guide[0])
        return x + (0.1 * weight @ fixup.bias + bias)[:, None, None]
