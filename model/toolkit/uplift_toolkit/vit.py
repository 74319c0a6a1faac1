"""The plain vision transformer and the DINOv2 and DINOv3 families, with the state-dict names of timm's ViT.

Sources: Dosovitskiy et al., arXiv 2010.11929; Oquab et al. (DINOv2), arXiv 2304.07193; Darcet et al.
(registers), arXiv 2309.16588; Siméoni et al. (DINOv3), arXiv 2508.10104; rotary positions: Su et al., arXiv
2104.09864; the convolutional stem: Xiao et al., arXiv 2106.14881. Other names: checkpoints.py.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_BASE = 100.0  # as in DINOv3


@dataclass(frozen=True)
class ViTConfig:
    """`grid` is the height and width, in patches, that the stored position embeddings cover.

    With rotary positions nothing is stored, and `grid` and `position_prefix` have no meaning.
    """

    patch: int = 14
    dim: int = 384
    depth: int = 12
    heads: int = 6
    grid: tuple[int, int] = (37, 37)
    class_token: bool = True
    registers: int = 0
    positions: str = "learned"  # or "rotary": queries and keys of the patches are turned by their place
    position_prefix: bool = True  # position embeddings also cover class token and registers
    qkv_bias: bool = True
    eps: float = 1e-6  # of the layer norms
    layer_scale: bool = True
    mlp: str = "gelu"  # or "swiglu"
    mlp_width: int | None = None  # input width of the second linear layer; None: 4·dim
    stem: str = "patch"  # or "conv": strided 3×3 convolutions, for small models; patch is a power of two

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(self.grid))
        if self.dim % self.heads:
            raise ValueError(f"dim: {self.dim} (expected: a multiple of heads = {self.heads})")
        if self.mlp not in ("gelu", "swiglu"):
            raise ValueError(f"mlp: {self.mlp!r} (expected: gelu or swiglu)")
        if self.positions not in ("learned", "rotary"):
            raise ValueError(f"positions: {self.positions!r} (expected: learned or rotary)")
        if self.positions == "rotary" and self.dim % (4 * self.heads):
            raise ValueError(f"dim: {self.dim} (expected with rotary positions: a multiple of 4 heads)")
        if self.stem not in ("patch", "conv"):
            raise ValueError(f"stem: {self.stem!r} (expected: patch or conv)")
        if self.stem == "conv" and (self.patch < 2 or self.patch & (self.patch - 1)):
            raise ValueError(f"patch: {self.patch} (expected with a conv stem: a power of two)")


_REGISTERS = {"registers": 4, "position_prefix": False}
_DINOV3 = {"patch": 16, "registers": 4, "positions": "rotary", "qkv_bias": False, "eps": 1e-5}

# Names as in timm.
MODELS: dict[str, ViTConfig] = {
    "vit_small_patch14_dinov2": ViTConfig(),
    "vit_base_patch14_dinov2": ViTConfig(dim=768, heads=12),
    "vit_large_patch14_dinov2": ViTConfig(dim=1024, depth=24, heads=16),
    "vit_giant_patch14_dinov2": ViTConfig(dim=1536, depth=40, heads=24, mlp="swiglu", mlp_width=4096),
    "vit_small_patch14_reg4_dinov2": ViTConfig(**_REGISTERS),
    "vit_base_patch14_reg4_dinov2": ViTConfig(dim=768, heads=12, **_REGISTERS),
    "vit_large_patch14_reg4_dinov2": ViTConfig(dim=1024, depth=24, heads=16, **_REGISTERS),
    "vit_giant_patch14_reg4_dinov2": ViTConfig(
        dim=1536, depth=40, heads=24, mlp="swiglu", mlp_width=4096, **_REGISTERS
    ),
    "vit_small_patch16_dinov3": ViTConfig(**_DINOV3),
    "vit_small_plus_patch16_dinov3": ViTConfig(mlp="swiglu", mlp_width=1536, **_DINOV3),
    "vit_base_patch16_dinov3": ViTConfig(dim=768, heads=12, **_DINOV3),
    "vit_large_patch16_dinov3": ViTConfig(dim=1024, depth=24, heads=16, **_DINOV3),
    "vit_small_patch16_224": ViTConfig(patch=16, grid=(14, 14), layer_scale=False),
    "vit_base_patch16_224": ViTConfig(patch=16, dim=768, heads=12, grid=(14, 14), layer_scale=False),
}


class PatchEmbed(nn.Module):
    """Image [N,3,H,W] to tokens [N,dim,H/patch,W/patch]."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        if config.stem == "patch":
            self.proj: nn.Module = nn.Conv2d(3, config.dim, config.patch, stride=config.patch)
            return
        halvings = config.patch.bit_length() - 1
        widths = [3] + [max(8, config.dim >> (halvings - i)) for i in range(halvings)]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [
                nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
            ]
        self.proj = nn.Sequential(*layers, nn.Conv2d(widths[-1], config.dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


Turns = tuple[Tensor, Tensor]  # sine and cosine of every token and channel of a head: two of [T,D]


def turned(x: Tensor, turns: Turns) -> Tensor:
    """Queries or keys [N,heads,T,D]: channels i and i + D/2 are a vector, turned by the token's angle i."""
    sine, cosine = turns
    first, second = x.float().chunk(2, dim=-1)
    rotated = torch.cat([-second, first], dim=-1)
    return (x.float() * cosine + rotated * sine).to(x.dtype)


def rotary_periods(channels: int) -> Tensor:
    """For the `channels` of a head: from 1 to just below ROTARY_BASE, in units of half the image [D/4]."""
    return ROTARY_BASE ** (torch.arange(channels // 4) / (channels // 4))


def rotary_turns(h: int, w: int, prefix: int, channels: int) -> Turns:
    """Sines and cosines of an h×w grid, after `prefix` tokens that are not turned.

    The image reaches from -1 to 1 in both directions.
    """
    rows, columns = ((torch.arange(size) + 0.5) / size * 2 - 1 for size in (h, w))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2, 1)
    angles = (2 * math.pi * places / rotary_periods(channels)).flatten(1).repeat(1, 2)
    angles = F.pad(angles, (0, 0, prefix, 0))  # class token and registers: no turn
    return angles.sin(), angles.cos()


class Attention(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attend = F.scaled_dot_product_attention
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, turns: Turns | None = None) -> Tensor:
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if turns is not None:
            q, k = turned(q, turns), turned(k, turns)
        x = self.attend(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, tokens, dim))


class Mlp(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.mlp_width or 4 * config.dim
        self.gated = config.mlp == "swiglu"
        self.fc1 = nn.Linear(config.dim, 2 * width if self.gated else width)
        self.fc2 = nn.Linear(width, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        if not self.gated:
            return self.fc2(F.gelu(x))
        gate, value = x.chunk(2, dim=-1)
        return self.fc2(F.silu(gate) * value)


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=config.eps)
        self.attn = Attention(config)
        self.ls1 = LayerScale(config.dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(config.dim, eps=config.eps)
        self.mlp = Mlp(config)
        self.ls2 = LayerScale(config.dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor, turns: Turns | None = None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), turns))
        return x + self.ls2(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """Normalised images [N,3,H,W] to features [N,dim,H/patch,W/patch], for any H and W that patch divides."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.channels, self.patch = config.dim, config.patch
        self.prefix = int(config.class_token) + config.registers
        self.patch_embed = PatchEmbed(config)
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        if config.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, config.registers, config.dim))
        self.rotary = config.positions == "rotary"
        if not self.rotary:
            positions = config.grid[0] * config.grid[1] + (self.prefix if config.position_prefix else 0)
            self.pos_embed = nn.Parameter(torch.zeros(1, positions, config.dim))
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.dim, eps=config.eps)
        self.apply(_initialise)
        for token in (*([] if self.rotary else [self.pos_embed]), *self.prefix_tokens()):
            nn.init.trunc_normal_(token, std=0.02)

    def prefix_tokens(self) -> list[Tensor]:
        names = [("cls_token", self.config.class_token), ("reg_token", self.config.registers > 0)]
        return [getattr(self, name) for name, present in names if present]

    def positions(self, h: int, w: int) -> Tensor:
        """Position embeddings for an h×w grid: bicubic and antialiased from the stored one, as in timm."""
        if (h, w) == self.config.grid:
            return self.pos_embed
        prefix = self.prefix if self.config.position_prefix else 0
        grid = self.pos_embed[:, prefix:].reshape(1, *self.config.grid, -1).permute(0, 3, 1, 2).float()
        grid = F.interpolate(grid, (h, w), mode="bicubic", antialias=True).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :prefix], grid.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = int(images.shape[2]), int(images.shape[3])
        if height % self.patch or width % self.patch:
            raise ValueError(f"image size: {width}x{height} (expected: multiples of patch = {self.patch})")
        h, w = height // self.patch, width // self.patch
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        n = x.shape[0]
        prefix = [token.expand(n, -1, -1) for token in self.prefix_tokens()]
        turns = None
        if self.rotary:
            x = torch.cat([*prefix, x], dim=1)
            sine, cosine = rotary_turns(h, w, self.prefix, self.config.dim // self.config.heads)
            turns = sine.to(x.device), cosine.to(x.device)
        elif self.config.position_prefix:
            x = torch.cat([*prefix, x], dim=1) + self.positions(h, w)
        else:
            x = torch.cat([*prefix, x + self.positions(h, w)], dim=1)
        for block in self.blocks:
            x = block(x, turns)
        x = self.norm(x)[:, self.prefix :]
        return x.transpose(1, 2).reshape(n, self.channels, h, w)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
