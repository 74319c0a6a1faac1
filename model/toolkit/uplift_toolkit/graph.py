"""The two modules of a bundle: bytes of RGB frames in, features and finished head outputs out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel
from uplift_toolkit.uplift import resize

MEAN = (0.485, 0.456, 0.406)  # ImageNet, as the DINO backbones were trained
STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """u8 [N,H,W,3] to normalised [N,3,H,W] (channels last in memory), computed in fp32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("scale", 1 / (255 * torch.tensor(STD)))
        self.register_buffer("shift", -torch.tensor(MEAN) / torch.tensor(STD))

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.to(torch.float32) * self.scale + self.shift
        return x.to(self.dtype).permute(0, 3, 1, 2)


class BackboneGraph(nn.Module):
    """frames u8 [N,H,W,3] to features [N,C,h,w]; bf16 leaves as fp32, which every runtime can hold."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.normalise = Normalise(dtype)
        self.backbone = model.backbone.to(dtype)
        self.output = torch.float32 if dtype == torch.bfloat16 else dtype

    def forward(self, frames: Tensor) -> Tensor:
        return self.backbone(self.normalise(frames)).to(self.output).contiguous()


class UpsamplerGraph(nn.Module):
    """frames u8 [N,H,W,3] and features to the tensors of the bundle's contract, heads in order."""

    def __init__(self, model: DenseModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = model.config
        self.normalise = Normalise(dtype)
        self.dtype = dtype
        self.upsampler = model.upsampler.to(dtype)
        self.heads = model.heads.to(dtype)

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        features = features.to(self.dtype)
        grids = [features, *self.upsampler(self.normalise(frames), features, self.config.steps)]
        outputs: list[Tensor] = []
        for head in self.config.heads:
            x = self.heads[head.name](grids[self.config.step_of(head)])
            outputs += finish(head, resize(x, self.config.size_of(head)))
        return tuple(outputs)


def finish(head: HeadConfig, x: Tensor) -> list[Tensor]:
    """Logits or values [N,K,H,W] to what is handed out: u8 labels (and u8 confidence), or fp16 values."""
    if head.kind != "segmentation":
        return [(x.exp() if head.log else x).to(torch.float16).contiguous()]
    if not head.confidence:
        return [x.argmax(dim=1).to(torch.uint8).contiguous()]
    share, label = x.softmax(dim=1, dtype=torch.float32).max(dim=1)
    return [label.to(torch.uint8).contiguous(), (share * 255).round().to(torch.uint8).contiguous()]
