"""The two modules of a bundle: bytes of RGB frames in, features and finished head outputs out."""

import copy

import torch
from torch import Tensor, nn

from uplift_toolkit.bundle import Variant
from uplift_toolkit.fast import BandedResize, FastUplift, PlainResize, Readout, fold_batch_norms
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.onednn import PatchLinear, attend
from uplift_toolkit.uplift import resize
from uplift_toolkit.upsamplers import Upsampler
from uplift_toolkit.vit import ViT


class Normalise(nn.Module):
    """u8 [N,H,W,3] to normalised [N,3,H,W] (channels last in memory), computed in fp32."""

    def __init__(self, dtype: torch.dtype, config: ModelConfig) -> None:
        super().__init__()
        self.dtype = dtype
        mean, deviation = map(torch.tensor, config.normalise)
        self.register_buffer("scale", 1 / (255 * deviation))
        self.register_buffer("shift", -mean / deviation)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.to(torch.float32) * self.scale + self.shift
        return x.to(self.dtype).permute(0, 3, 1, 2)


class BackboneGraph(nn.Module):
    """frames u8 [N,H,W,3] to features [N,C,h,w]; bf16 leaves as fp32, which every runtime can hold."""

    def __init__(self, model: DenseModel, variant: Variant) -> None:
        super().__init__()
        dtype = variant.dtype
        self.normalise = Normalise(dtype, model.config)
        backbone = copy.deepcopy(model.backbone).eval()
        if isinstance(backbone, ViT):
            stem = backbone.patch_embed.proj
            folded = isinstance(stem, nn.Sequential)
            backbone.patch_embed.proj = fold_batch_norms(stem) if folded else PatchLinear(stem)
            if variant == Variant("cpu", "bf16"):
                for block in backbone.blocks:
                    block.attn.attend = attend
        self.backbone = backbone.to(dtype, memory_format=torch.channels_last)
        self.output = torch.float32 if dtype == torch.bfloat16 else dtype

    def forward(self, frames: Tensor) -> Tensor:
        return self.backbone(self.normalise(frames)).to(self.output).contiguous()


class UpsamplerGraph(nn.Module):
    """frames u8 [N,H,W,3] and features to the tensors of the bundle's contract, heads in order."""

    def __init__(self, model: DenseModel, variant: Variant) -> None:
        super().__init__()
        config, dtype = model.config, variant.dtype
        readouts = [_readout(config.step_of(head), model.heads[head.name]) for head in config.heads]
        # In less than fp32 every product would be rounded, logits included.
        products = dtype == torch.float32
        fast = FastUplift(model.upsampler, config.input.size, config.grid, readouts, variant.device, products)
        self.upsampler = fast.to(dtype, memory_format=torch.channels_last)
        self.upsampler.heads.float()  # features or logits stay in fp32 once a head made them
        self.normalise = Normalise(dtype, config)
        self.dtype = dtype
        self.heads = config.heads
        self.resizes = nn.ModuleList()
        for head, readout in zip(config.heads, readouts, strict=True):
            low, size = tuple(side << readout.step for side in config.grid), config.size_of(head)
            planar = head.kind != "segmentation"
            # A GPU would rather have few launches.
            plain = variant.device == "cuda" or low == size
            self.resizes.append(PlainResize(low, size) if plain else BandedResize(low, size, planar))

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        maps = self.upsampler.rows(self.normalise(frames), features.to(self.dtype))
        outputs: list[Tensor] = []
        for head, resized, rows in zip(self.heads, self.resizes, maps, strict=True):
            bands = [finish(head, band.permute(0, 3, 1, 2)) for band in resized(rows)]
            outputs += [torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True)]
        return tuple(outputs)


class OtherUpsamplerGraph(nn.Module):
    """The same of an upsampler other than UPLiFT, for one size of frames.

    Heads that are read at one size share an upsampling, and are applied before it where that is exact. It
    computes in fp32 in every variant: the others' norms, softmaxes and angles were not made for less.
    """

    def __init__(self, model: DenseModel) -> None:
        super().__init__()
        config = model.config
        self.upsampler = copy.deepcopy(model.upsampler).eval()
        self.normalise = Normalise(torch.float32, config)
        self.heads = config.heads
        self.outputs = [config.size_of(head) for head in config.heads]
        self.sizes = [config.size_read(head, self.upsampler) for head in config.heads]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for head in config.heads:
            linear = model.heads[head.name].linear
            self.weights.append(linear.weight.detach().flatten(1).clone())
            self.biases.append(linear.bias.detach().clone())

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        features = features.float()
        guide = self.upsampler.guide(self.normalise(frames), features)
        heads = list(zip(self.sizes, self.weights, self.biases, strict=True))
        maps = self.upsampler.read_all(guide, features, heads)
        outputs: list[Tensor] = []
        for head, size, read in zip(self.heads, self.outputs, maps, strict=True):
            outputs += finish(head, resize(read, size))
        return tuple(outputs)


def upsampler_graph(model: DenseModel, variant: Variant) -> nn.Module:
    """The graph of the model's upsampler and heads."""
    other = isinstance(model.upsampler, Upsampler)
    return OtherUpsamplerGraph(model) if other else UpsamplerGraph(model, variant)


def _readout(step: int, head: LinearHead) -> Readout:
    """The head, or the features where it hands out all of them unchanged."""
    weight, bias = head.linear.weight[:, :, 0, 0], head.linear.bias
    unchanged = torch.equal(weight, torch.eye(*weight.shape)) and not bias.any()
    return Readout(step) if unchanged else Readout(step, weight, bias)


def finish(head: HeadConfig, x: Tensor) -> list[Tensor]:
    """Logits or values [N,K,H,W] to what is handed out: u8 labels (and u8 confidence), or fp16 values.

    A pixel whose largest logit is NaN or infinite gets label 255, which is no class. A quantity that was
    learned as its logarithm is at most the largest number of its type: one infinite pixel would fail the
    frame.
    """
    if head.kind != "segmentation":
        dtype = torch.float16 if head.dtype == "float16" else torch.float32
        if head.log:
            x = x.float().exp().clamp(max=torch.finfo(dtype).max)
        return [x.to(dtype).contiguous()]
    x = x.permute(0, 2, 3, 1)
    largest, label = x.max(dim=-1)
    label = label.to(torch.uint8).masked_fill(~largest.isfinite(), 255)
    if not head.confidence:
        return [label]
    share = x.softmax(dim=-1, dtype=torch.float32).amax(dim=-1)
    return [label, (share * 255).round().to(torch.uint8)]
