"""The autoencoder of Stable Diffusion 1.5 (Rombach et al., arXiv 2112.10752), written to be read.

Options and state-dict names are those of diffusers' AutoencoderKL. Images are in -1 to 1. Latents are as they
come: pipelines multiply them by 0.18215 and divide before decoding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.uplift import option
from uplift_toolkit.weights import beneath, check_names_and_shapes, read_state_dict

# What older checkpoints call the attention's projections, in which they are 1×1 convolutions or linear.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def group_norm(groups: int, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(nn.Module):
    """Every pixel attends to all, in one head: quadratic in pixels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = group_norm(groups, channels)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.to_q(pixels), self.to_k(pixels), self.to_v(pixels)
        weights = (q @ k.transpose(1, 2) * q.shape[2] ** -0.5).softmax(dim=-1)
        return x + self.to_out(weights @ v).transpose(1, 2).reshape(x.shape)


class Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels, groups)])
        self.resnets = nn.ModuleList(ResNet(channels, channels, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Sampler(nn.Module):
    """Halves a map, with a row and a column of zeros at its end, or doubles it."""

    def __init__(self, channels: int, double: bool) -> None:
        super().__init__()
        self.double = double
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if double else 2, padding=int(double))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0) if self.double else F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """ResNets of one width, and but for the last level a sampler."""

    def __init__(self, inputs: int, outputs: int, count: int, groups: int, sampler: str, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResNet(outputs if i else inputs, outputs, groups) for i in range(count))
        self.samplers = sampler
        if not last:
            self.add_module(sampler, nn.ModuleList([Sampler(outputs, sampler == "upsamplers")]))

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return getattr(self, self.samplers)[0](x) if hasattr(self, self.samplers) else x


def levels(widths: Sequence[int], count: int, groups: int, sampler: str) -> nn.ModuleList:
    pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
    return nn.ModuleList(
        Level(*pair, count, groups, sampler, last=i == len(widths) - 1) for i, pair in enumerate(pairs)
    )


class Encoder(nn.Module):
    def __init__(self, channels: int, latents: int, widths: Sequence[int], count: int, groups: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down_blocks = levels(widths, count, groups, "downsamplers")
        self.mid_block = Middle(widths[-1], groups)
        self.conv_norm_out = group_norm(groups, widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * latents, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_in(image)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, channels: int, latents: int, widths: Sequence[int], count: int, groups: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(latents, widths[-1], 3, padding=1)
        self.mid_block = Middle(widths[-1], groups)
        self.up_blocks = levels(widths[::-1], count + 1, groups, "upsamplers")
        self.conv_norm_out = group_norm(groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(latent))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    """`encode` images [N,3,H,W] to the means of latents [N,4,H/8,W/8], with four levels; `decode` back."""

    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: int = 2,
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        in_channels: int = 3,
        out_channels: int = 3,
        **others: Any,
    ) -> None:
        """The options of diffusers' config.json. ValueError for others than SD 1.5's kinds of blocks."""
        super().__init__()
        blocks = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
        for key, kind in blocks.items():
            option(others, key, [[kind] * len(block_out_channels)], [kind] * len(block_out_channels))
        option(others, "act_fn", ["silu"], "silu")
        sizes = (latent_channels, block_out_channels, layers_per_block, norm_num_groups)
        self.encoder, self.decoder = Encoder(in_channels, *sizes), Decoder(out_channels, *sizes)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def encode(self, image: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(image)).chunk(2, dim=1)[0]

    def decode(self, latent: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latent))


def load_vae(vae: Vae, path: Path) -> None:
    """Loads a checkpoint strictly, by today's names or the older ones.

    WeightsError names what is missing, surplus or of another shape.
    """
    own = vae.state_dict()
    state, source = beneath(read_state_dict(path), [own], path, respelt)
    state = {
        name: value.flatten(1) if ".attentions." in name and value.ndim == 4 else value
        for name, value in state.items()
    }
    check_names_and_shapes(own, state, source)
    vae.load_state_dict(state)


def respelt(name: str) -> str:
    """A tensor's name as it is today."""
    before, place, rest = name.partition(".attentions.0.")
    called, dot, what = rest.rpartition(".")
    return f"{before}{place}{OLD_NAMES.get(called, called)}{dot}{what}"
