"""The two modules of a bundle: bytes of RGB frames in, features and finished head outputs out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from uplift_toolkit.fast import CPU_TILE_BYTES, GPU_TILE_BYTES, FastUplift, Readout, fold_batch_norms
from uplift_toolkit.heads import HeadConfig
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
        readouts = []
        for head in config.heads:
            linear = model.heads[head.name].linear
            readouts.append(Readout(config.step_of(head), linear.weight[:, :, 0, 0], linear.bias))
        grid = (height // patch, width // patch)
        tile_bytes = GPU_TILE_BYTES if dtype == torch.float16 else CPU_TILE_BYTES
        fast = FastUplift(model.upsampler, (height, width), grid, readouts, tile_bytes)
        self.upsampler = fast.to(memory_format=torch.channels_last).lower_precision(dtype)
        self.normalise = Normalise(dtype, model.config)
        self.dtype = dtype
        self.heads = [(head, config.size_of(head)) for head in config.heads]

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        maps = self.upsampler(self.normalise(frames), features.to(self.dtype))
        outputs: list[Tensor] = []
        for (head, size), x in zip(self.heads, maps, strict=True):
            outputs += finish(head, resize(x, size))
        return tuple(outputs)


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
