"""Linear heads fitted on frozen, upsampled features, by one recipe for every kind of upsampler.

Features are sampled at some pixels of every frame, classes drawn by weight, and the heads fitted on those.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.data import Batch, Frames, pixel_weights
from uplift_toolkit.graph import Normalise
from uplift_toolkit.heads import HeadConfig, LinearHead
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.progress import progress
from uplift_toolkit.uplift import LocalAttender, Uplift, auto_residual, encoder_image, resize
from uplift_toolkit.upsamplers import Upsampler


def step_inputs(
    upsampler: Uplift, images: Tensor, features: Tensor, steps: int
) -> list[tuple[Tensor, Tensor]]:
    """Guide [N,G,2h,2w] and value [N,C,h,w] of every step; attender(guide, value) is the step's output.

    A linear head commutes with the attender, whose weights sum to one: its map after the step is
    attender(guide, head(value)), without the step's full-size features.
    """
    if upsampler.refiner is not None:
        raise ValueError(
            "upsampler: has a refiner (expected: none, as its output is no linear mix of features)"
        )
    maps = upsampler.encoder(encoder_image(images, upsampler.patch))
    inputs = []
    x = features
    for step in range(steps):
        guide = upsampler.decoder(x, maps, None)
        inputs.append((guide, x))
        if step + 1 < steps:
            x = upsampler.attender(guide, x)
    return inputs


class UpliftMaps:
    """Features of some images, upsampled by UPLiFT: head maps of all pixels, or features of some.

    A step's grid is resized to the head's size, as in the model: they differ where 2^steps is not the patch.
    """

    def __init__(self, config: ModelConfig, upsampler: Uplift, images: Tensor, features: Tensor) -> None:
        self.config, self.attender, self.features = config, upsampler.attender, features
        self.inputs = step_inputs(upsampler, images, features, config.steps)

    def head_maps(self, heads: Sequence[LinearHead]) -> Iterator[Tensor]:
        """The heads' maps [N,K,H/stride,W/stride] in float."""
        for head in heads:
            step = self.config.step_of(head.config)
            if step == 0:
                found = head(self.features)
            else:
                guide, value = self.inputs[step - 1]
                found = self.attender(guide, head(value))
            yield resize(found, self.config.size_of(head.config))

    def at(self, head: HeadConfig, y: Tensor, x: Tensor) -> Tensor:
        """Features [N,M,C] at pixels y, x [N,M] of the head's map, exactly: a resize mixes few cells."""
        step, size = self.config.step_of(head), self.config.size_of(head)
        if step == 0:
            return gather(resize(self.features, size), y, x)
        guide, value = self.inputs[step - 1]
        (rows, by_row), (columns, by_column) = (
            taps(pixels, cells, y.device) for pixels, cells in zip(size, guide.shape[2:], strict=True)
        )
        return sum(
            (by_row[y, i] * by_column[x, j])[..., None]
            * attend_at(self.attender, guide, value, rows[y, i], columns[x, j])
            for i in range(rows.shape[1])
            for j in range(columns.shape[1])
        )


class OtherMaps:
    """The same, upsampled by another kind."""

    def __init__(self, config: ModelConfig, upsampler: Upsampler, images: Tensor, features: Tensor) -> None:
        self.config, self.upsampler, self.features = config, upsampler, features
        self.guide = upsampler.guide(images, features)
        self.maps: dict[tuple[int, int], Tensor] = {}

    def head_maps(self, heads: Sequence[LinearHead]) -> Iterator[Tensor]:
        reads = [
            (
                self.config.size_read(head.config, self.upsampler),
                head.linear.weight.flatten(1),
                head.linear.bias,
            )
            for head in heads
        ]
        maps = self.upsampler.read_all(self.guide, self.features, reads)
        for head, read in zip(heads, maps, strict=True):
            yield resize(read, self.config.size_of(head.config))

    def at(self, head: HeadConfig, y: Tensor, x: Tensor) -> Tensor:
        given = self.config.size_read(head, self.upsampler)
        if given not in self.maps:
            self.maps[given] = self.upsampler.upsample(self.guide, self.features, given)
        return gather(resize(self.maps[given], self.config.size_of(head)), y, x)


def maps_of(
    config: ModelConfig, upsampler: Uplift | Upsampler, images: Tensor, features: Tensor
) -> UpliftMaps | OtherMaps:
    """What the upsampler makes of normalised images [N,3,H,W] and their features [N,C,h,w]."""
    if isinstance(upsampler, Upsampler):
        return OtherMaps(config, upsampler, images, features)
    return UpliftMaps(config, upsampler, images, features)


def gather(maps: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The maps' [N,C,H,W] values [N,…,C] at pixels y, x [N,…]."""
    n = torch.arange(maps.shape[0], device=maps.device).reshape(-1, *[1] * (y.ndim - 1))
    return maps.permute(0, 2, 3, 1)[n, y, x]


def taps(pixels: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The cells of an axis that `resize` mixes for each of its pixels, and their weights: [pixels,n] each."""
    shares = resize(torch.eye(cells, device=device)[None, None], (pixels, cells))[0, 0]
    weights, places = shares.topk(int((shares > 0).sum(dim=1).max()))
    return places, weights


def bilinear_at(maps: Tensor, factor: int, y: Tensor, x: Tensor) -> Tensor:
    """The values [N,M,C] of maps [N,C,h,w], enlarged by `factor`, at pixels y, x [N,M] of the large ones."""
    h, w = maps.shape[2] * factor, maps.shape[3] * factor
    points = torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], dim=-1).float()
    found = F.grid_sample(maps, points[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def attend_at(attender: LocalAttender, guide: Tensor, value: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The attender's output at pixels y, x [N,M] alone: [N,M,C]."""
    logits = gather(auto_residual(guide, attender.conv1(guide)), y, x)
    dy, dx = torch.tensor(attender.offsets, device=guide.device).unbind(1)
    h, w = value.shape[2:]
    rows, columns = (y[..., None] // 2 + dy).clamp(0, h - 1), (x[..., None] // 2 + dx).clamp(0, w - 1)
    return (logits.softmax(-1)[..., None] * gather(value, rows, columns)).sum(dim=2)


def truth(head: HeadConfig, batch: Batch) -> Tensor:
    """Labels or metres at the head's stride: the frame's at the centre of every output pixel."""
    centre = slice(head.stride // 2, None, head.stride)
    return (batch.labels if head.kind == "segmentation" else batch.depth)[:, centre, centre]


def judged(head: HeadConfig, config: ModelConfig, kind: str) -> bool:
    """Whether a head is fitted for a kind of upsampler; features have no truth, so there is nothing to
    compare."""
    return head.kind != "features" or kind == config.kind


Samples = dict[tuple[str, str], tuple[Tensor, Tensor]]


@torch.no_grad()
def sample_features(
    model: DenseModel,
    upsamplers: dict[str, Uplift | Upsampler],
    frames: Frames,
    images: int,
    pixels: int,
    weights: Tensor,
    seeds: Sequence[int],
) -> list[Samples]:
    """Features fp16 [P,C] and targets [P] of `pixels` pixels in each of `images` frames, for every seed, by
    head and kind of upsampler.

    A pixel of a segmentation is drawn with its class's weight, so that the fit itself needs none.
    """
    model.eval()
    device = next(model.parameters()).device
    size = model.config.input.size
    normalise = Normalise(torch.float32, model.config).to(device)
    found: list[dict[tuple[str, str], list[tuple[Tensor, Tensor]]]] = [{} for _ in seeds]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    with progress(total=min(images, len(frames)), desc="features", unit="frame") as bar:
        for batch in frames.whole_batches(size, 4, images):
            inputs = normalise(batch.images.to(device))
            features = model.backbone(inputs)
            maps = {kind: maps_of(model.config, u, inputs, features) for kind, u in upsamplers.items()}
            for head in model.config.heads:
                target = truth(head, batch)
                n, _, w = target.shape
                if head.kind == "segmentation":
                    chance = pixel_weights(weights, target)
                else:
                    chance = (target > 0).float() if head.kind == "regression" else torch.ones(target.shape)
                for generator, samples in zip(generators, found, strict=True):
                    # A frame without one pixel to learn from gives pixels of no weight, dropped below.
                    chosen = torch.multinomial(chance.flatten(1) + 1e-12, pixels, True, generator=generator)
                    useful = chance.flatten(1).gather(1, chosen) > 0
                    targets = target.flatten(1).gather(1, chosen)[useful]
                    y, x = (chosen // w).to(device), (chosen % w).to(device)
                    for kind in maps:
                        if judged(head, model.config, kind):
                            at = maps[kind].at(head, y, x).cpu()[useful]
                            samples.setdefault((head.name, kind), []).append((at.half(), targets))
            bar.update(n)
    return [
        {
            key: (torch.cat([f for f, _ in parts]), torch.cat([t for _, t in parts]))
            for key, parts in samples.items()
        }
        for samples in found
    ]


def fit(head: LinearHead, features: Tensor, targets: Tensor, steps: int, seed: int) -> float:
    """Fits the head to features fp16 [P,C] and targets [P]; returns the last mean loss.

    Segmentation: cross entropy. Regression: the relative error, so near and far count alike.
    Features: the principal components, largest first.
    """
    mean, scale = features.float().mean(0), features.float().std(0) + 1e-6
    channels = head.config.channels
    if head.config.kind == "features":
        centred = features.float() - mean
        _, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        weight = vectors.flip(1)[:, :channels].T
        _set(head, weight, -weight @ mean)
        return float((centred - centred @ weight.T @ weight).square().mean())
    linear = nn.Linear(features.shape[1], channels)
    nn.init.zeros_(linear.weight)
    optimiser = torch.optim.Adam(linear.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(seed)
    recent = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = torch.randint(len(targets), (min(8192, len(targets)),), generator=generator)
        y = linear((features[chosen].float() - mean) / scale)
        if head.config.kind == "segmentation":
            loss = F.cross_entropy(y, targets[chosen].long())
        elif head.config.log:
            loss = (y[:, 0] - targets[chosen].log()).abs().mean()
        else:
            loss = (y[:, 0] / targets[chosen] - 1).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent = 0.98 * recent + 0.02 * float(loss.detach()) if step else float(loss.detach())
    with torch.no_grad():
        weight = linear.weight / scale
        _set(head, weight, linear.bias - weight @ mean)
    return recent


def _set(head: LinearHead, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        head.linear.weight.copy_(weight[:, :, None, None])
        head.linear.bias.copy_(bias)


def fresh_heads(config: ModelConfig, kinds: Sequence[str]) -> nn.ModuleDict:
    """One untrained head per kind of upsampler and head: `probes["bilinear"]["segmentation"]`."""
    return nn.ModuleDict({kind: _untrained(config, kind) for kind in kinds})


def _untrained(config: ModelConfig, kind: str) -> nn.ModuleDict:
    heads = [head for head in config.heads if judged(head, config, kind)]
    return nn.ModuleDict({head.name: LinearHead(config.backbone.dim, head) for head in heads})
