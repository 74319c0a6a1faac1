"""JAFAR (arXiv 2506.11136): trained for one backbone, any output size.

Options and state-dict names are the authors'.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.upsamplers.attention import EdgeRope, MeanAttention
from uplift_toolkit.upsamplers.base import (
    Commuting,
    Size,
    adaptive_pool,
    grid_size,
    normed_linear,
    reflect_conv,
    unit,
)


class ResidualBlock(nn.Module):
    """Without gradients it writes to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = normed_linear(x, self.norm1, self.conv1)
        return normed_linear(y, self.norm2, self.conv2, onto=x)


def encoder(inputs: int, channels: int, kernel: int) -> nn.Sequential:
    blocks = (ResidualBlock(channels) for _ in range(2))
    return nn.Sequential(reflect_conv(inputs, channels, kernel), *blocks)


class SemanticKeys(nn.Module):
    """Scales and shifts the image's keys by what the features say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Conv2d(channels, channels, 1, bias=False)
        self.beta = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, keys: Tensor, features: Tensor) -> Tensor:
        return self.gamma(features) * F.group_norm(keys, 8) + self.beta(features)


class CrossDecode(nn.Module):
    def __init__(self, channels: int, heads: int, value_channels: int | None = None) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.cross_attn = MeanAttention(channels, heads, value_channels)


class Jafar(Commuting):
    def __init__(
        self,
        v_dim: int,
        input_dim: int = 3,
        qk_dim: int = 128,
        kernel_size: int = 1,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        self.image_encoder = encoder(input_dim, qk_dim, kernel_size)
        self.key_encoder = encoder(qk_dim, qk_dim, 1)
        self.query_encoder = encoder(qk_dim, qk_dim, 1)
        self.key_features_encoder = encoder(v_dim, qk_dim, 1)
        self.sft_key = SemanticKeys(qk_dim)
        self.rope = EdgeRope(qk_dim)
        self.cross_decode = CrossDecode(qk_dim, num_heads, v_dim)

    @classmethod
    def arguments(cls, channels: int, patch: int) -> dict[str, Any]:
        return {"v_dim": channels}

    def guide(self, image: Tensor, features: Tensor) -> list[Tensor]:
        """Queries at the image's size, and keys."""
        encoded = self.rope(self.image_encoder(image))
        keys = adaptive_pool(self.key_encoder(encoded), grid_size(features))
        keys = self.sft_key(keys, self.key_features_encoder(unit(features)))
        return [self.query_encoder(encoded), keys]

    def pool(self, guide: list[Tensor], values: Tensor, size: Size) -> Tensor:
        # The norm is of the whole pooled map, so a part of an image gives another output than the image.
        queries = self.cross_decode.conv2d(F.group_norm(adaptive_pool(guide[0], size), 8))
        return self.cross_decode.cross_attn(queries, guide[1], values)
