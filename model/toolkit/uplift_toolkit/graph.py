"""The two modules of a bundle: bytes of RGB frames in, features and finished head outputs out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from uplift_toolkit.fast import BandedResize, FastUplift, Readout, Rows, fold_batch_norms
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import IMAGENET, DenseModel, ModelConfig
from uplift_toolkit.uplift import resize
from uplift_toolkit.vit import ViT

MEAN, STD = IMAGENET


class Normalise(nn.Module):
    """u8 [N,H,W,3] to normalised [N,3,H,W] (channels last in memory), computed in fp32."""

    def __init__(self, dtype: torch.dtype, config: ModelConfig | None = None) -> None:
        """With the configuration's mean and deviation, or ImageNet's."""
        super().__init__()
        self.dtype = dtype
        mean, deviation = map(torch.tensor, config.normalise if config else IMAGENET)
        self.register_buffer("scale", 1 / (255 * deviation))
        self.register_buffer("shift", -mean / deviation)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.to(torch.float32) * self.scale + self.shift
        return x.to(self.dtype).permute(0, 3, 1, 2)


class PatchProjection(nn.Module):
    """A convolution whose stride is its kernel, as a matrix product: [N,C,H,W] to [N,dim,H/patch,W/patch].

    oneDNN has no fast kernel for it in bf16.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.patch = conv.kernel_size[0]
        self.linear = nn.Linear(conv.weight[0].numel(), conv.out_channels, conv.bias is not None)
        self.linear.weight = nn.Parameter(conv.weight.permute(0, 2, 3, 1).flatten(1).detach().clone())
        self.linear.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        h, w = height // self.patch, width // self.patch
        rows = x.permute(0, 2, 3, 1).reshape(n, h, self.patch, w, self.patch * channels).transpose(2, 3)
        return self.linear(rows.reshape(n, h, w, -1)).permute(0, 3, 1, 2)


SCORES = 1 << 25
"""Scores of queries by keys that exist at a time, of a frame."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of [N,heads,T,D] as two matrix products, by bands of queries.

    PyTorch's own multiplies by MKL, which on AMD's CPUs has no fast kernel for bf16; this by oneDNN.
    """
    n, heads, tokens, channels = q.shape
    q, k, v = (x.reshape(-1, tokens, channels) for x in (q * channels**-0.5, k, v))
    bands = q.split(max(1, SCORES // (heads * tokens)), dim=1)
    attended = [torch.bmm(torch.bmm(band, k.transpose(1, 2)).softmax(dim=-1), v) for band in bands]
    return torch.cat(attended, dim=1).reshape(n, heads, tokens, channels)


class BackboneGraph(nn.Module):
    """frames u8 [N,H,W,3] to features [N,C,h,w]; bf16 leaves as fp32, which every runtime can hold."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.normalise = Normalise(dtype, model.config)
        backbone = copy.deepcopy(model.backbone).eval()
        if isinstance(backbone, ViT):
            stem = backbone.patch_embed.proj
            folded = isinstance(stem, nn.Sequential)
            backbone.patch_embed.proj = fold_batch_norms(stem) if folded else PatchProjection(stem)
            if dtype == torch.bfloat16:
                for block in backbone.blocks:
                    block.attn.attend = attend
        self.backbone = backbone.to(dtype, memory_format=torch.channels_last)
        self.output = torch.float32 if dtype == torch.bfloat16 else dtype

    def forward(self, frames: Tensor) -> Tensor:
        return self.backbone(self.normalise(frames)).to(self.output).contiguous()


class UpsamplerGraph(nn.Module):
    """frames u8 [N,H,W,3] and features to the tensors of the bundle's contract, heads in order."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        config = model.config
        height, width, patch = config.input.height, config.input.width, config.vit.patch
        readouts = [_readout(config.step_of(head), model.heads[head.name]) for head in config.heads]
        grid = (height // patch, width // patch)
        gpu = dtype == torch.float16
        # In bf16 every product would be rounded, logits included.
        project = dtype == torch.float32
        fast = FastUplift(model.upsampler, (height, width), grid, readouts, gpu, project)
        self.upsampler = fast.to(memory_format=torch.channels_last).lower_precision(dtype)
        self.normalise = Normalise(dtype, model.config)
        self.dtype = dtype
        self.heads = config.heads
        self.resizes = nn.ModuleList()
        for head, readout in zip(config.heads, readouts, strict=True):
            low, size = (grid[0] << readout.step, grid[1] << readout.step), config.size_of(head)
            planar = head.kind != "segmentation"
            # A GPU would rather have few launches.
            plain = gpu or low == size
            self.resizes.append(PlainResize(low, size) if plain else BandedResize(low, size, planar))

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        maps = self.upsampler.rows(self.normalise(frames), features.to(self.dtype))
        outputs: list[Tensor] = []
        for head, resized, rows in zip(self.heads, self.resizes, maps, strict=True):
            bands = [finish(head, band.permute(0, 3, 1, 2)) for band in resized(rows)]
            outputs += [torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True)]
        return tuple(outputs)


class PlainResize(nn.Module):
    """`uplift.resize` of all rows at once: one band [N,H',W',C]."""

    def __init__(self, size: tuple[int, int], out: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.out = size, out

    def forward(self, rows: Rows) -> list[Tensor]:
        return [resize(rows(0, self.size[0]).permute(0, 3, 1, 2), self.out).permute(0, 2, 3, 1)]


def _readout(step: int, head: LinearHead) -> Readout:
    """The head, or the features where it hands out all of them unchanged."""
    weight, bias = head.linear.weight[:, :, 0, 0], head.linear.bias
    unchanged = torch.equal(weight, torch.eye(*weight.shape)) and not bias.any()
    return Readout(step) if unchanged else Readout(step, weight, bias)


def finish(head: HeadConfig, x: Tensor) -> list[Tensor]:
    """Logits or values [N,K,H,W] to what is handed out: u8 labels (and u8 confidence), or fp16 values."""
    if head.kind != "segmentation":
        dtype = torch.float16 if head.dtype == "float16" else torch.float32
        return [(x.float().exp() if head.log else x).to(dtype).contiguous()]
    x = x.permute(0, 2, 3, 1)
    if not head.confidence:
        return [x.argmax(dim=-1).to(torch.uint8)]
    share, label = x.softmax(dim=-1, dtype=torch.float32).max(dim=-1)
    return [label.to(torch.uint8), (share * 255).round().to(torch.uint8)]
