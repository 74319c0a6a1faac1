"""UPLiFT, written to be read: the reference that the fast graph and every export are held against.

Source of the method: Walmer, Suri, Aggarwal, Shrivastava, "UPLiFT: Efficient Pixel-Dense Feature Upsampling
with Local Attenders", arXiv 2601.17950. Configuration keys and state-dict names are the authors', so an
official checkpoint and this file can be held side by side.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Config = Mapping[str, Any]


def _window(*rows: tuple[int, Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((dy, dx) for dy, columns in rows for dx in columns)


# The neighbours (dy, dx) a pixel attends to, in the order of the attender's output channels.
NEIGHBOURHOODS: dict[int, tuple[tuple[int, int], ...]] = {
    5: _window((-1, [0]), (0, [-1, 0, 1]), (1, [0])),
    9: _window(*((dy, range(-1, 2)) for dy in range(-1, 2))),
    13: _window((-2, [0]), (-1, range(-1, 2)), (0, range(-2, 3)), (1, range(-1, 2)), (2, [0])),
    17: _window((-2, [-2, 0, 2]), (-1, range(-1, 2)), (0, range(-2, 3)), (1, range(-1, 2)), (2, [-2, 0, 2])),
    25: _window(*((dy, range(-2, 3)) for dy in range(-2, 3))),
}


def uplift_config(
    channels: int,
    patch: int,
    neighbours: int = 17,
    encoder: Sequence[int] = (16, 32, 64, 128, 128),
    decoder: int = 64,
) -> dict[str, Any]:
    """The authors' standard configuration (no down-sampling in the encoder, batch norm) for other widths."""
    blocks: dict[str, Any] = {"down_steps": len(encoder) - 1}
    for i, width in enumerate(encoder):
        if i > 0:
            blocks[f"down_{i}"] = {"down_op": "none", "factor": 1.0, "residual": "none"}
        blocks[f"block_{i}"] = {"block": "SingleConv", "norm": "batch", "count": 1, "hc": [width]}
    double = {"block": "DoubleConv", "norm": "batch", "count": 1, "hc": [decoder]}
    return {
        "backbone": {"channel": channels, "patch": patch, "stride": patch},
        "uplift": {
            "up_factor": 2,
            "attender": neighbours,
            "enc_share": True,
            "encoder": blocks,
            "decoder": {
                "up_steps": 1,
                "ncat_c": 0,
                "ncat_s": 1,
                "enc_resample": "nearest",
                "block_0": dict(double),
                "up_1": {"up_op": "tconv", "factor": 2, "residual": "bilinear"},
                "block_1": dict(double),
            },
        },
    }


def option(config: Config, key: str, allowed: Sequence[Any], default: Any = None) -> Any:
    """The value of `key`, or ValueError when it is not one this implementation computes."""
    value = config.get(key, default)
    if value not in allowed:
        raise ValueError(f"{key}: {value!r} (expected one of {list(allowed)})")
    return value


def auto_residual(residual: Tensor, x: Tensor) -> Tensor:
    """`x` plus the channels of `residual` both have: surplus ones are cut, missing ones count as zero."""
    surplus = x.shape[1] - residual.shape[1]
    if surplus > 0:
        residual = F.pad(residual, (0, 0, 0, 0, 0, surplus))
    return x + residual[:, : x.shape[1]]


def resize(x: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """The map at another size: nearest, or bilinear with antialias and align_corners=False."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if mode == "nearest":
        return F.interpolate(x, size, mode="nearest")
    precise = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x  # CPUs antialias no others
    resized = F.interpolate(precise, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(x.dtype)


def double_size(x: Tensor) -> Tensor:
    """The residual of the up-block; unlike all other resizes it aligns corners."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


def encoder_image(image: Tensor, patch: int) -> Tensor:
    """Patch 14 is brought to 16 pixels per feature, so that four steps land on the image's grid."""
    if patch != 14:
        return image
    return resize(image, (int(image.shape[2]) * 16 // 14, int(image.shape[3]) * 16 // 14))


class LayerNorm(nn.Module):
    """Layer norm over the channels of every pixel of [N,C,H,W]."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """SingleConv (`convs` 1) or DoubleConv (2): so many conv3×3, norm, ReLU; then conv1×1 and residual."""

    def __init__(self, convs: int, channels: int, width: int, norm: str, residual: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(convs):
            layers += [
                nn.Conv2d(width if i else channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width) if norm == "batch" else LayerNorm(width),
                nn.ReLU(inplace=True),
            ]
        self.conv = nn.Sequential(*layers, nn.Conv2d(width, width, 1))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return auto_residual(x, self.conv(x)) if self.residual else self.conv(x)


class BlockGroup(nn.Module):
    """`count` blocks in a row, of the widths `hc`."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        convs = {"SingleConv": 1, "DoubleConv": 2}[option(config, "block", ["SingleConv", "DoubleConv"])]
        norm = option(config, "norm", ["batch", "layer"], "batch")
        residual = option(config, "residual", [True, False], True)
        option(config, "stride", [1], 1)
        option(config, "one_by", [True], True)
        widths = list(config["hc"])[: config["count"]]
        if len(widths) != config["count"]:
            raise ValueError(f"hc: {len(widths)} widths (expected: count = {config['count']})")
        sizes = [channels, *widths]
        self.blocks = nn.Sequential(*(ConvBlock(convs, a, b, norm, residual) for a, b in pairwise(sizes)))
        self.width = sizes[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Down(nn.Module):
    """Halves the encoder's map: by a strided convolution, by max-pooling, or not at all."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        op = option(config, "down_op", ["none", "conv", "max"])
        residual = option(config, "residual", ["none", "bilinear"], "none")
        self.residual = op != "none" and residual == "bilinear"
        if op == "none":
            self.down = None
            return
        option(config, "factor", [0.5])
        if op == "conv":
            self.down = nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, stride=2),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
        else:
            self.down = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.down is None:
            return x
        if not self.residual:
            return self.down(x)
        half = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=True)
        return auto_residual(half, self.down(x))


class Up(nn.Module):
    """Doubles the decoder's map by a transposed convolution."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        option(config, "up_op", ["tconv"])
        option(config, "factor", [2])
        self.residual = option(config, "residual", ["none", "bilinear"], "none") == "bilinear"
        self.up = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x).add_(double_size(x)) if self.residual else self.up(x)


class Encoder(nn.Module):
    """Image [N,3,H,W] to one map per block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.down_steps = int(config["down_steps"])
        self.widths: list[int] = []
        channels = 3
        for i in range(self.down_steps + 1):
            if i > 0:
                setattr(self, f"down_{i}", Down(channels, config[f"down_{i}"]))
            block = BlockGroup(channels, config[f"block_{i}"])
            setattr(self, f"block_{i}", block)
            channels = block.width
            self.widths.append(channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        x = image
        for i in range(self.down_steps + 1):
            if i > 0:
                x = getattr(self, f"down_{i}")(x)
            x = getattr(self, f"block_{i}")(x)
            maps.append(x)
        return maps


class Merge:
    """Joins x, an encoder map resampled to x's size, and noise channels drawn anew at every call."""

    def __init__(self, config: Config) -> None:
        self.mode = option(config, "enc_resample", ["nearest", "bilinear"])
        self.noise_channels = int(config.get("ncat_c", 0))
        self.noise_scale = float(config.get("ncat_s", 1))

    def __call__(self, x: Tensor, encoded: Tensor, generator: torch.Generator | None) -> Tensor:
        n, _, h, w = x.shape
        parts = [x, resize(encoded, (h, w), self.mode)]
        if self.noise_channels > 0:
            noise = torch.randn(
                n, self.noise_channels, h, w, generator=generator, device=x.device, dtype=x.dtype
            )
            parts.append(self.noise_scale * noise)
        return torch.cat(parts, dim=1)


class Decoder(nn.Module):
    """Features [N,C,h,w] and encoder maps to the guide [N,width,2h,2w]."""

    def __init__(self, channels: int, encoder_widths: Sequence[int], config: Config) -> None:
        super().__init__()
        option(config, "up_steps", [1])
        self.merge = Merge(config)
        noise = self.merge.noise_channels
        self.block_0 = BlockGroup(channels + encoder_widths[-1] + noise, config["block_0"])
        self.up_1 = Up(self.block_0.width, config["up_1"])
        self.block_1 = BlockGroup(self.block_0.width + encoder_widths[-2] + noise, config["block_1"])
        self.width = self.block_1.width

    def forward(self, x: Tensor, maps: Sequence[Tensor], generator: torch.Generator | None) -> Tensor:
        x = self.block_0(self.merge(x, maps[-1], generator))
        return self.block_1(self.merge(self.up_1(x), maps[-2], generator))


class LocalAttender(nn.Module):
    """Every output pixel is a convex combination of n features around its low-resolution cell.

    guide [N,G,2h,2w] and value [N,C,h,w] give [N,C,2h,2w].
    """

    def __init__(self, channels: int, neighbours: int) -> None:
        super().__init__()
        self.offsets = NEIGHBOURHOODS[option({"attender": neighbours}, "attender", list(NEIGHBOURHOODS))]
        self.conv1 = nn.Conv2d(channels, neighbours, kernel_size=1)

    def forward(self, guide: Tensor, value: Tensor) -> Tensor:
        n, channels, h, w = value.shape
        weights = auto_residual(guide, self.conv1(guide)).softmax(dim=1)
        weights = weights.reshape(n, len(self.offsets), 1, h, 2, w, 2)
        reach = max(dy for dy, _ in self.offsets)
        padded = F.pad(value, (reach,) * 4, mode="replicate")
        out: Tensor | float = 0.0
        for k, (dy, dx) in enumerate(self.offsets):
            neighbour = padded[:, :, reach + dy : reach + dy + h, reach + dx : reach + dx + w]
            out = out + weights[:, k] * neighbour[:, :, :, None, :, None]
        assert isinstance(out, Tensor)
        return out.reshape(n, channels, 2 * h, 2 * w)


class Uplift(nn.Module):
    """The upsampler. `config` holds the authors' keys: `backbone` (channel, patch) and `uplift`.

    ValueError names an option this implementation does not compute.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.channels = int(config["backbone"]["channel"])
        self.patch = int(config["backbone"]["patch"])
        model = config["uplift"]
        option(model, "up_factor", [2])
        option(model, "enc_share", [True])
        self.encoder = Encoder(model["encoder"])
        widths = self.encoder.widths
        self.decoder = Decoder(self.channels, widths, model["decoder"])
        self.attender = LocalAttender(self.decoder.width, model["attender"])
        self.refiner: BlockGroup | None = None
        if "refiner" in model:
            refiner = model["refiner"]
            self.refiner_merge = Merge(refiner)
            self.refiner_map = int(refiner.get("ref_con", -2))
            channels = self.channels + widths[self.refiner_map] + self.refiner_merge.noise_channels
            self.refiner = BlockGroup(channels, refiner["block_0"])
            self.ref_outc = nn.Conv2d(self.refiner.width, self.channels, kernel_size=1)

    def forward(
        self, image: Tensor, features: Tensor, steps: int, generator: torch.Generator | None = None
    ) -> list[Tensor]:
        """The output of every step: [N,C,2h,2w], [N,C,4h,4w], …

        `image` [N,3,H,W] is normalised (raw [0,1] for the VAE variant), `features` [N,C,h,w].
        `generator` draws the noise channels of configurations that have them.
        """
        if features.shape[1] != self.channels:
            raise ValueError(f"feature channels: {features.shape[1]} (expected: {self.channels})")
        maps = self.encoder(encoder_image(image, self.patch))
        outputs = []
        x = features
        for _ in range(steps):
            x = self.attender(self.decoder(x, maps, generator), x)
            if self.refiner is not None:
                merged = self.refiner_merge(x, maps[self.refiner_map], generator)
                x = self.ref_outc(self.refiner(merged))
            outputs.append(x)
        return outputs
