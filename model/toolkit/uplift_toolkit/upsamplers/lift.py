"""LiFT (arXiv 2403.14625): trained for one backbone; doubles the grid, and again.

Options and state-dict names are the authors'.
"""

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.upsamplers.base import Size, Upsampler, pixel_linear


def convolutions(inputs: int, outputs: int, count: int, stride: int, bias: bool) -> nn.Sequential:
    """So many conv3×3, batch norm, ReLU."""
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [
            nn.Conv2d(outputs if i else inputs, outputs, 3, stride, padding=1, bias=bias),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Up(nn.Module):
    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, kernel_size=2, stride=2)
        double = convolutions(inputs // 2 + skipped, outputs, 2, 1, bias=False)
        self.conv_1 = nn.Sequential(OrderedDict(double_conv=double))

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        return self.conv_1(torch.cat([self.up(x), skipped], dim=1))


class Lift(Upsampler):
    """A head is folded into the last step's 1×1 convolution."""

    def __init__(self, in_channels: int, patch_size: int) -> None:
        super().__init__()
        if patch_size not in (8, 16):
            raise ValueError(f"upsampler lift: patch {patch_size} (expected of the backbone: 8 or 16)")
        self.patch = patch_size
        self.image_convs_1 = convolutions(3, 32, 2, 2, bias=True)
        self.image_convs_2 = convolutions(32, 32, 1, 2, bias=True)
        self.up1 = Up(in_channels + 32, 32, in_channels // 2)
        self.outc = nn.Conv2d(in_channels // 2, in_channels, 1)

    @classmethod
    def arguments(cls, channels: int, patch: int) -> dict[str, Any]:
        return {"in_channels": channels, "patch_size": patch}

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        steps = 0
        while grid[0] << steps < wanted[0] or grid[1] << steps < wanted[1]:
            steps += 1
        return grid[0] << steps, grid[1] << steps

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        x = self._decode(guide[0], features, size)
        return features if x is None else self.outc(x)

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        x = self._decode(guide[0], features, size)
        if x is None:
            return pixel_linear(features, weight, bias)
        return pixel_linear(x, weight @ self.outc.weight.flatten(1), weight @ self.outc.bias + bias)

    def _decode(self, image: Tensor, features: Tensor, size: Size) -> Tensor | None:
        """The last step's map before its 1×1 convolution; none at the size of the features."""
        x = None
        while int(features.shape[2]) < size[0]:
            if x is not None:
                image = F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
            fine = self.image_convs_1(image)
            if self.patch == 16:
                fine = F.max_pool2d(fine, 2)
            x = self.up1(torch.cat([features, self.image_convs_2(fine)], dim=1), fine)
            if 2 * int(features.shape[2]) >= size[0]:
                break
            features = self.outc(x)
        return x
