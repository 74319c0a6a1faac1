"""LoftUp (arXiv 2504.14032): trained for one backbone; gives the image's size.

Options and state-dict names are the authors'.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.uplift import LayerNorm, option
from uplift_toolkit.upsamplers.base import Size, Upsampler, constant, pixel_linear
from uplift_toolkit.upsamplers.featup import ChannelNorm

SCORES = 1 << 24  # attention scores that exist at a time for each frame
BAND = 64  # rows that are computed at a time
HALO = 2  # rows above and below that two 3×3 convolutions see
POSITIONS = 5  # frequencies of the features' positions


def waves(z: Tensor, biases: Tensor) -> list[Tensor]:
    """Sine and cosine of [N,Z,H,W] at rising frequencies, frequency by frequency: twice [N,n·Z,H,W].

    Angles reach 2e4, so less than fp32 is not enough. The biases [2,Z,n] are read as [2,n,Z], without a
    transpose, as by the authors.
    """
    n = biases.shape[2]
    frequencies = constant(torch.linspace(-2, 10, n).exp(), z)
    angles = frequencies[:, None, None, None] * z[:, None]
    shift = biases.reshape(2, n, -1, 1, 1)
    return [(angles + shift[0]).sin().flatten(1, 2), (angles + shift[1]).cos().flatten(1, 2)]


def places(like: Tensor) -> Tensor:
    """Row and column of every pixel of [N,?,H,W], -1 to 1: [N,2,H,W]."""
    height, width = int(like.shape[2]), int(like.shape[3])
    y, x = (constant(torch.linspace(-1, 1, side), like) for side in (height, width))
    size = (like.shape[0], 1, height, width)
    return torch.cat([y[:, None].expand(size), x.expand(size)], dim=1)


class Waves(nn.Module):
    def __init__(self, inputs: int, frequencies: int) -> None:
        super().__init__()
        self.biases = nn.Parameter(torch.randn(2, inputs, frequencies))


class CrossAttention(nn.Module):
    """x [N,Q,E] attends to keys and values [N,T,E], by bands of pixels."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(channels)
        self.norm_kv = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads)

    def keys(self, kv: Tensor) -> list[Tensor]:
        """Keys and values of the tokens, [N,heads,T,D] each."""
        kv = self.norm_kv(kv)
        weights, biases = self.attention.in_proj_weight.chunk(3), self.attention.in_proj_bias.chunk(3)
        return [self._heads(F.linear(kv, weights[i], biases[i])) for i in (1, 2)]

    def forward(self, x: Tensor, keys: list[Tensor]) -> Tensor:
        channels = self.attention.embed_dim
        weight, bias = self.attention.in_proj_weight[:channels], self.attention.in_proj_bias[:channels]
        q = self._heads(F.linear(self.norm_q(x), weight, bias)) * self.attention.head_dim**-0.5
        attended = (q @ keys[0].transpose(2, 3)).softmax(dim=-1) @ keys[1]
        return self.attention.out_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.attention.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # In training the fourth and the last module drop channels.
        self.net = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, width),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(width, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Transformer(nn.Module):
    def __init__(self, channels: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        pairs = ([CrossAttention(channels, heads), FeedForward(channels, width)] for _ in range(layers))
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, keys: list[list[Tensor]]) -> Tensor:
        for (attention, feed_forward), pair in zip(self.layers, keys, strict=True):
            x = x + attention(x, pair)
            x = x + feed_forward(x)
        return self.norm(x)


class Decoder(nn.Module):
    def __init__(
        self, dim: int, n_freqs: int, num_heads: int, num_layers: int, lr_size: int, lr_pe_type: str
    ) -> None:
        super().__init__()
        self.sine = option({"lr_pe_type": lr_pe_type}, "lr_pe_type", ["sine", "learnable"]) == "sine"
        width = dim + 4 * POSITIONS if self.sine else dim
        self.lr_size = lr_size
        if self.sine:
            self.lr_pe = Waves(2, POSITIONS)
            self.final_conv: nn.Module = nn.Sequential(nn.Conv2d(width, dim, 1), LayerNorm(dim))
        else:
            self.lr_pe = nn.Parameter(torch.randn(1, lr_size**2, dim))
            self.final_conv = LayerNorm(dim)
        self.fourier_feat = nn.Sequential(nn.Identity(), Waves(5, n_freqs))
        self.first_conv = nn.Sequential(
            ChannelNorm(10 * n_freqs + 3),
            nn.Conv2d(10 * n_freqs + 3, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.ca_transformer = Transformer(width, dim, num_heads, num_layers)

    def keys(self, features: Tensor) -> list[list[Tensor]]:
        """What the pixels attend to, for each layer."""
        if self.sine:
            kv = torch.cat([features, *waves(places(features), self.lr_pe.biases)], dim=1)
        else:
            learned = self.lr_pe.transpose(1, 2).unflatten(2, (self.lr_size, self.lr_size))
            if self.lr_size**2 != int(features.shape[2]) * int(features.shape[3]):
                size = (int(features.shape[2]), int(features.shape[3]))
                learned = F.interpolate(learned, size, mode="bicubic", align_corners=False)
            kv = features + learned.reshape(1, -1, *features.shape[2:])
        tokens = kv.flatten(2).transpose(1, 2)
        return [attention.keys(tokens) for attention, _ in self.ca_transformer.layers]

    def rows(self, z: Tensor, keys: list[list[Tensor]], low: int, high: int) -> Tensor:
        """The output's rows from `low` to before `high`, of an image with places [N,5,H,W]."""
        top = max(low - HALO, 0)
        near = z[:, :, top : min(high + HALO, int(z.shape[2]))]
        x = self.first_conv(torch.cat([*waves(near, self.fourier_feat[1].biases), near[:, 2:]], dim=1))
        x = x[:, :, low - top : high - top]
        heads, tokens = (int(side) for side in keys[0][0].shape[1:3])
        pixels = x.flatten(2).transpose(1, 2).split(max(1, SCORES // (heads * tokens)), dim=1)
        seen = torch.cat([self.ca_transformer(part, keys) for part in pixels], dim=1)
        return self.final_conv(seen.transpose(1, 2).reshape(x.shape))


class LoftUp(Upsampler):
    """Every pixel is a query of its colour and place, so the output is computed by bands of rows."""

    def __init__(
        self,
        dim: int,
        color_feats: bool = True,
        n_freqs: int = 20,
        num_heads: int = 4,
        num_layers: int = 2,
        lr_size: int = 16,
        lr_pe_type: str = "sine",
    ) -> None:
        super().__init__()
        option({"color_feats": color_feats}, "color_feats", [True])
        self.channelnorm = ChannelNorm(dim)
        self.upsampler = Decoder(dim, n_freqs, num_heads, num_layers, lr_size, lr_pe_type)
        self.per_frame = False  # whether no frame of a batch has a part in another's output

    @classmethod
    def arguments(cls, channels: int, patch: int) -> dict[str, Any]:
        return {"dim": channels}

    def size_for(self, wanted: Size, image: Size, grid: Size) -> Size:
        return image

    def upsample(self, guide: list[Tensor], features: Tensor, size: Size) -> Tensor:
        return torch.cat(list(self._bands(guide[0], features)), dim=2)

    def read(self, guide: list[Tensor], features: Tensor, size: Size, weight: Tensor, bias: Tensor) -> Tensor:
        bands = self._bands(guide[0], features)
        return torch.cat([pixel_linear(band, weight, bias) for band in bands], dim=2)

    def _bands(self, image: Tensor, features: Tensor) -> Iterator[Tensor]:
        # The authors take the colours' extremes over the whole batch, which then share an output.
        axes = (2, 3) if self.per_frame else (0, 2, 3)
        low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
        colours = (image - low) / (high - low).clamp(min=1e-4) - 0.5
        z = torch.cat([places(image), colours], dim=1)
        keys = self.upsampler.keys(self.channelnorm(features))
        height = int(image.shape[2])
        band = height if self.training else BAND  # batch norms learn of whole images
        for top in range(0, height, band):
            yield self.upsampler.rows(z, keys, top, min(top + band, height))
