"""The whole upsampler, from an image and features to the map of every head."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uplift_toolkit.fast.blocks import FastBlocks, FastEncoder, convolution
from uplift_toolkit.fast.pools import AttentionPool, GatheredPool, Rows, rows_of, split_rows
from uplift_toolkit.fast.products import FeatureProducts
from uplift_toolkit.uplift import LocalAttender, Uplift, encoder_image, resize


@dataclass(frozen=True)
class Readout:
    """A linear head read at the grid of one step (0: the backbone's). Without a weight: the features."""

    step: int
    weight: Tensor | None = None  # [K,C]
    bias: Tensor | None = None  # [K]


class FastUplift(nn.Module):
    """`Uplift` with linear heads for one image size and feature grid, in evaluation mode.

    forward(image [N,3,H,W] normalised, features [N,C,h,w]) gives one map [N,K,2^step·h,2^step·w] per
    readout, `rows` gives their rows. ValueError for a configuration with noise channels that are not zero.
    """

    def __init__(
        self,
        uplift: Uplift,
        image: tuple[int, int],
        grid: tuple[int, int],
        readouts: Sequence[Readout],
        device: str = "cpu",
        pool_products: bool = True,
    ) -> None:
        """`device`, cpu or cuda, decides how attention is pooled. `pool_products`: of wide features only what
        the decoder and the readouts make of them is upsampled.
        """
        super().__init__()
        uplift = copy.deepcopy(uplift).eval()
        self.patch = uplift.patch
        self.steps = max(readout.step for readout in readouts)
        self.readouts = list(readouts)
        self.grid = grid
        for merge in (uplift.decoder.merge, *([uplift.refiner_merge] if uplift.refiner else [])):
            if merge.noise_channels and merge.noise_scale != 0:
                raise ValueError(
                    f"ncat_s: {merge.noise_scale} (expected of the fast graph: 0, it draws no noise)"
                )
        self.merge_mode = uplift.decoder.merge.mode
        self.products: FeatureProducts | None = None
        self.heads = nn.ModuleList(_head(uplift.channels, readout) for readout in readouts)
        last = [i for i, readout in enumerate(readouts) if readout.step == self.steps]
        # Heads commute with the attender: the last step pools their outputs, not features.
        self.pooled_heads = last if all(readouts[i].weight is not None for i in last) else []
        self.pooled_features = last if len(last) == 1 and not self.pooled_heads else []
        if uplift.refiner is not None:
            self.pooled_heads = self.pooled_features = []
        if self.steps == 0:
            return
        widths, decoder = uplift.encoder.widths, uplift.decoder
        self.encoder = FastEncoder(uplift.encoder, self._stride_of_last_map(uplift, image))
        # Pooling ten times the block's width takes a fifth of the time that convolving as many channels does.
        # Where all features are read, too, it takes much more memory.
        read = sum(uplift.channels if head.weight is None else len(head.weight) for head in readouts)
        pays = uplift.channels > max(2 * decoder.block_0.width, read)
        if pool_products and pays and uplift.refiner is None:
            self.products = FeatureProducts(decoder.block_0.blocks[0], uplift.channels, self.heads)
        convolved = self.products is not None
        self.block_0 = FastBlocks(decoder.block_0, [uplift.channels, widths[-1]], convolved)
        self.up = copy.deepcopy(decoder.up_1)
        self.block_1 = FastBlocks(
            decoder.block_1, [decoder.block_0.width, widths[-2]], head=_attender_logits(uplift.attender)
        )
        self.refiner: FastBlocks | None = None
        if uplift.refiner is not None:
            self.refiner_merge, self.refiner_map = uplift.refiner_merge.mode, uplift.refiner_map
            self.refiner = FastBlocks(uplift.refiner, [uplift.channels, widths[self.refiner_map]])
            self.refiner_output = copy.deepcopy(uplift.ref_outc)
        self.pools = nn.ModuleList()
        for step in range(self.steps):
            cells = (grid[0] << step, grid[1] << step)
            if device == "cpu":
                self.pools.append(AttentionPool(uplift.attender, cells))
                continue
            channels = uplift.channels if self.products is None else sum(self.products.sizes)
            if self.pooled_heads and step == self.steps - 1:
                channels = sum(self.heads[i].out_channels for i in self.pooled_heads)
            self.pools.append(GatheredPool(uplift.attender, cells, channels))

    def _stride_of_last_map(self, uplift: Uplift, image: tuple[int, int]) -> int:
        """The stride at which nearest resampling reads the last encoder map, 1 when that is not exact.

        Nearest resampling at a whole ratio reads every ratio-th pixel, so a single SingleConv block may
        compute only those: the same numbers.
        """
        group = getattr(uplift.encoder, f"block_{uplift.encoder.down_steps}")
        single = len(group.blocks) == 1 and len(group.blocks[0].conv) == 4
        others = uplift.refiner is not None and uplift.refiner_map in (-1, uplift.encoder.down_steps)
        if not single or others or self.merge_mode != "nearest":
            return 1
        with torch.no_grad():
            maps = uplift.encoder(encoder_image(torch.zeros(1, 3, *image), uplift.patch))
        (ratio, rest_y), (ratio_x, rest_x) = (
            divmod(maps[-1].shape[2 + axis], self.grid[axis] << (self.steps - 1)) for axis in (0, 1)
        )
        power_of_two = ratio > 0 and ratio & (ratio - 1) == 0
        return ratio if power_of_two and ratio == ratio_x and rest_y == rest_x == 0 else 1

    def forward(self, image: Tensor, features: Tensor) -> list[Tensor]:
        maps = zip(self.readouts, self.rows(image, features), strict=True)
        return [rows(0, self.grid[0] << readout.step).permute(0, 3, 1, 2) for readout, rows in maps]

    def rows(self, image: Tensor, features: Tensor) -> list[Rows]:
        x = features.contiguous(memory_format=torch.channels_last)
        maps = self.encoder(encoder_image(image, self.patch)) if self.steps else []
        outputs = self._from_features(x, maps) if self.products is None else self._from_products(x, maps)
        return [outputs[i] for i in range(len(self.readouts))]

    def _from_features(self, x: Tensor, maps: list[Tensor]) -> dict[int, Rows]:
        """The rows of every readout, by its number, from features that are upsampled step by step."""
        outputs = self._read(0, x)
        for step in range(1, self.steps + 1):
            values = x
            if step == self.steps and self.pooled_heads:  # before the block below: it frees features
                values = torch.cat([_precisely(self.heads[i], x) for i in self.pooled_heads], dim=1)
            rows = self.pools[step - 1](self._logits(step, maps, x), values)
            if step == self.steps and self.pooled_heads:
                widths = [self.heads[i].out_channels for i in self.pooled_heads]
                outputs |= zip(self.pooled_heads, split_rows(rows, widths), strict=True)
            elif step == self.steps and self.pooled_features:
                outputs[self.pooled_features[0]] = rows
            else:
                high = (self.grid[0] << step, self.grid[1] << step)
                x = rows(0, high[0]).permute(0, 3, 1, 2)
                if self.refiner is not None:
                    encoded = resize(maps[self.refiner_map], high, self.refiner_merge)
                    x = self.refiner_output(self.refiner(x, encoded))
                outputs |= self._read(step, x)
        return outputs

    def _from_products(self, features: Tensor, maps: list[Tensor]) -> dict[int, Rows]:
        """The same from the features' products, which are upsampled in their place."""
        outputs: dict[int, Rows] = {}
        products = self.products(features)
        rows = rows_of(products)
        for step in range(1, self.steps + 1):
            height = self.grid[0] << (step - 1)
            convolved, residual, heads = self.products.read(rows, height)
            read = heads.split(self.products.heads, dim=1)
            outputs |= {i: rows_of(x) for i, x in enumerate(read) if self.readouts[i].step == step - 1}
            last = self.pooled_heads if step == self.steps else []
            values = torch.cat([read[i] for i in last], dim=1) if last else products
            rows = self.pools[step - 1](self._logits(step, maps, convolved, residual), values)
            if last:
                widths = [self.products.heads[i] for i in last]
                outputs |= zip(last, split_rows(rows, widths), strict=True)
            elif step + 1 < self.steps:
                products = rows(0, 2 * height).permute(0, 3, 1, 2)
                rows = rows_of(products)
        return outputs

    def _logits(self, step: int, maps: list[Tensor], x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The attention's logits at the grid of `step`, from what block_0 reads at the one below it."""
        low, high = ((self.grid[0] << i, self.grid[1] << i) for i in (step - 1, step))
        guide = self.up(self.block_0(x, resize(maps[-1], low, self.merge_mode), residual=residual))
        return self.block_1(guide, resize(maps[-2], high, self.merge_mode))

    def _read(self, step: int, x: Tensor) -> dict[int, Rows]:
        """The rows of the readouts at the grid of `step`, from its features."""
        return {
            i: rows_of(_precisely(head, x))
            for i, (head, readout) in enumerate(zip(self.heads, self.readouts, strict=True))
            if readout.step == step
        }


HEAD_ROWS = 64
"""So many rows of bf16 or fp16 features become fp32 at a time, for a head."""


def _precisely(head: nn.Module, x: Tensor) -> Tensor:
    """The head's output in fp32; features in bf16 or fp16 become fp32 a band of rows at a time."""
    if x.dtype == torch.float32 or isinstance(head, nn.Identity):
        return head(x.float())
    return torch.cat([head(band.float()) for band in x.split(HEAD_ROWS, dim=2)], dim=2)


def _head(channels: int, readout: Readout) -> nn.Module:
    """The readout as a 1×1 convolution; without a weight, nothing is done."""
    if readout.weight is None:
        return nn.Identity()
    return convolution(readout.weight.reshape(-1, channels, 1, 1), readout.bias)


def _attender_logits(attender: LocalAttender) -> nn.Conv2d:
    """conv1 plus the residual of the guide's first channels, as one 1×1 convolution."""
    weight = attender.conv1.weight
    return convolution(weight + torch.eye(*weight.shape[:2])[:, :, None, None], attender.conv1.bias)
