"""UPLiFT for inference: the same numbers as uplift.py, from less work.

Exact algebra, no approximation: batch norms folded, the n-fold neighbourhood never materialised, linear heads
pooled instead of features, and so is what the decoder's first convolution makes of them, the last encoder
block at the stride it is read at, the attender's 1×1 folded into the block before it, the last step pooled,
resized and finished a few rows at a time. Maps are channels_last: rows of pixels, each a row of channels.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from uplift_toolkit.uplift import (
    BlockGroup,
    ConvBlock,
    Down,
    LocalAttender,
    Uplift,
    encoder_image,
    resize,
)

Rows = Callable[[int, int], Tensor]
"""A map's rows from one to before another, [N,rows,W,C], computed when they are asked for."""


@dataclass(frozen=True)
class Readout:
    """A linear head read at the grid of one step (0: the backbone's). Without a weight: the features."""

    step: int
    weight: Tensor | None = None  # [K,C]
    bias: Tensor | None = None  # [K]


class BlockConvs(nn.Module):
    """The convolutions of a ConvBlock over the concatenation of maps, which is never formed."""

    def __init__(self, block: ConvBlock, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        layers = list(block.conv)
        convs: list[nn.Conv2d] = []
        norms: list[nn.Module] = []
        for i in range(0, len(layers) - 1, 3):
            conv, norm = layers[i], layers[i + 1]
            if isinstance(norm, nn.BatchNorm2d):
                conv, norm = fuse_conv_bn_eval(conv, norm), nn.Identity()
            convs.append(conv)
            norms.append(norm)
        if stride > 1 and len(convs) > 1:
            raise ValueError(f"stride: {stride} (expected of a block with two 3x3 convolutions: 1)")
        self.first = nn.ModuleList(_split(convs[0], widths, stride))
        self.rest = nn.ModuleList(convs[1:])
        self.norms = nn.ModuleList(norms)
        self.last = layers[-1]

    def forward(self, *inputs: Tensor) -> Tensor:
        x = self.first[0](inputs[0])
        for conv, part in zip(self.first[1:], inputs[1:], strict=True):
            x = x.add_(conv(part))
        x = self.norms[0](x).relu_()
        for conv, norm in zip(self.rest, self.norms[1:], strict=True):
            x = norm(conv(x)).relu_()
        return self.last(x)


class FastBlock(nn.Module):
    """A ConvBlock over the concatenation of `inputs` maps of the given widths.

    With `stride` only every stride-th pixel is computed. With `head` (a 1×1 convolution that follows the
    block) the head's output is computed, and the block's own never is.
    """

    def __init__(
        self, block: ConvBlock, widths: Sequence[int], stride: int = 1, head: nn.Conv2d | None = None
    ) -> None:
        super().__init__()
        self.convs: nn.Module = BlockConvs(block, widths, stride)
        self.residual = block.residual
        self.width = self.convs.last.out_channels
        self.stride = stride
        self.skip: nn.Conv2d | None = None
        if head is not None:
            self.convs.last, skip = _compose(head, self.convs.last)
            self.skip = skip if block.residual else None

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        """`residual` in place of that of the inputs."""
        x = self.convs(*inputs)
        if not self.residual:
            return x
        kept = inputs[0] if residual is None else residual
        kept = kept if kept.shape[1] >= self.width else torch.cat(inputs, dim=1)
        kept = kept[:, : self.width, :: self.stride, :: self.stride]
        if self.skip is not None:
            return x.add_(F.conv2d(kept, self.skip.weight[:, : kept.shape[1]]))
        x[:, : kept.shape[1]].add_(kept)
        return x


def _split(conv: nn.Conv2d, widths: Sequence[int], stride: int) -> list[nn.Conv2d]:
    """One convolution per input, whose sum is `conv` of their concatenation; surplus channels are zero."""
    parts = []
    start = 0
    for width in widths:
        part = nn.Conv2d(
            width, conv.out_channels, 3, stride, padding=1, bias=start == 0 and conv.bias is not None
        )
        part.weight = nn.Parameter(conv.weight[:, start : start + width].detach().clone())
        if part.bias is not None and conv.bias is not None:
            part.bias = nn.Parameter(conv.bias.detach().clone())
        parts.append(part)
        start += width
    return parts


def _compose(head: nn.Conv2d, last: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """head(last(h) + r) as one 1×1 convolution of h plus one, without bias, of r."""
    matrix = head.weight[:, :, 0, 0]
    bias = head.bias if head.bias is not None else torch.zeros(head.out_channels)
    composed = nn.Conv2d(last.in_channels, head.out_channels, 1)
    composed.weight = nn.Parameter((matrix @ last.weight[:, :, 0, 0])[:, :, None, None].detach().clone())
    composed.bias = nn.Parameter((matrix @ last.bias + bias).detach().clone())
    skip = nn.Conv2d(head.in_channels, head.out_channels, 1, bias=False)
    skip.weight = nn.Parameter(head.weight.detach().clone())
    return composed, skip


class FastBlocks(nn.Module):
    """A BlockGroup; the first block reads several maps, the last may be strided or end in a head."""

    def __init__(
        self, group: BlockGroup, widths: Sequence[int], stride: int = 1, head: nn.Conv2d | None = None
    ) -> None:
        super().__init__()
        blocks: list[FastBlock] = []
        for i, block in enumerate(group.blocks):
            end = i == len(group.blocks) - 1
            blocks.append(FastBlock(block, widths, stride if end else 1, head if end else None))
            widths = [blocks[-1].width]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, *inputs: Tensor, residual: Tensor | None = None) -> Tensor:
        x = self.blocks[0](*inputs, residual=residual)
        for block in self.blocks[1:]:
            x = block(x)
        return x


INSIDE = (
    (slice(1, None), slice(-1)),
    (slice(None), slice(None)),
    (slice(-1), slice(1, None)),
)
"""The rows or columns that have a neighbour before, at and behind them, and those neighbours."""


class Projection(nn.Module):
    """What is read of features [N,C,h,w], as one 1×1 convolution: products, [N,P,h,w].

    Attention pooling is a weighted mean of pixels, so it commutes with what is linear in each: with a head,
    and with every tap of the 3×3 convolution that begins the block. Products are pooled in place of
    features, whose width then matters at the backbone's grid alone. They are the block's residual, its
    taps, and heads.
    """

    BAND = 32  # rows whose taps are summed at a time: all products of the finest grid need not exist

    def __init__(self, block: FastBlock, heads: Sequence[nn.Conv2d], channels: int) -> None:
        """Takes the convolution of features away from the block."""
        super().__init__()
        conv = block.convs.first[0]
        block.convs.first[0] = nn.Identity()
        self.bias = conv.bias
        weights = [torch.eye(block.width, channels), *conv.weight.permute(2, 3, 0, 1).flatten(0, 1)]
        biases = [torch.zeros(len(weight)) for weight in weights]
        self.heads = [head.out_channels for head in heads]
        for head in heads:
            weights.append(head.weight[:, :, 0, 0])
            biases.append(torch.zeros(head.out_channels) if head.bias is None else head.bias)
        self.sizes = [*map(len, weights[:10]), sum(self.heads)]
        self.linear = nn.Conv2d(channels, sum(self.sizes), 1)
        self.linear.weight = nn.Parameter(torch.cat(weights)[:, :, None, None].detach())
        self.linear.bias = nn.Parameter(torch.cat(biases).detach())

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def read(self, products: Rows, height: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of rows of products the convolution's output, the residual, and the outputs of all heads."""
        bands = []
        for low in range(0, height, self.BAND):
            top, high = max(low - 1, 0), min(low + self.BAND, height)
            residual, *taps, heads = products(top, min(high + 1, height)).split(self.sizes, dim=3)
            x = taps[4].clone() if self.bias is None else taps[4] + self.bias
            for i, tap in enumerate(taps):
                if i != 4:
                    (to_row, row), (to_column, column) = INSIDE[i // 3], INSIDE[i % 3]
                    x[:, to_row, to_column].add_(tap[:, row, column])
            # Copies: views would keep the band's products.
            bands.append([part[:, low - top : high - top].clone() for part in (x, residual, heads)])
        whole = [torch.cat(parts, dim=1).permute(0, 3, 1, 2) for parts in zip(*bands, strict=True)]
        return whole[0], whole[1], whole[2]


class AttentionPool(nn.Module):
    """Logits [N,n,2h,2w] and values [N,C,h,w] to the rows of a map [N,2h,2w,C], for one grid h, w.

    A pixel is a weighted bag of rows of the table of values, which `embedding_bag` sums where they lie: the
    neighbourhoods are never formed, and the border is replicated by which rows are named.
    """

    def __init__(self, attender: LocalAttender, grid: tuple[int, int]) -> None:
        super().__init__()
        self.h, self.w = grid
        self.neighbours = len(attender.offsets)
        dy, dx = torch.tensor(attender.offsets, dtype=torch.int32).unbind(dim=1)
        rows, columns = (torch.arange(2 * side, dtype=torch.int32)[:, None] // 2 for side in grid)
        self.register_buffer("rows", (rows + dy).clamp(0, self.h - 1) * self.w, persistent=False)
        self.register_buffer("columns", (columns + dx).clamp(0, self.w - 1), persistent=False)

    def forward(self, logits: Tensor, values: Tensor) -> Rows:
        n, channels = values.shape[:2]
        table = values.permute(0, 2, 3, 1).reshape(-1, channels)
        weights = logits.permute(0, 2, 3, 1).softmax(dim=-1, dtype=torch.float32).to(values.dtype)
        first = _count(values[:, 0, 0, 0]) * (self.h * self.w)  # row of the table, of every frame

        def rows(low: int, high: int) -> Tensor:
            named = first[:, None, None, None] + self.rows[low:high, None] + self.columns
            bags = _count(named[..., 0].flatten()) * self.neighbours
            share = weights[:, low:high].reshape(-1)
            sums = torch.embedding_bag(table, named.flatten(), bags, False, 0, False, share)[0]
            return sums.reshape(n, high - low, 2 * self.w, channels)

        return rows


def _count(x: Tensor) -> Tensor:
    """0, 1, … for every element of x [n], on its device: an arange would write the device into the graph."""
    return torch.ones_like(x, dtype=torch.int32).cumsum(0, dtype=torch.int32) - 1


class GatheredPool(nn.Module):
    """What AttentionPool computes, as one product [4,n]·[n,C] per cell over gathered neighbourhoods.

    Those of a tile of rows at a time. It is what has been measured on a GPU; embedding_bag has not.
    """

    TILE_BYTES = 256 << 20  # of neighbourhoods, in fp32: a GPU wants few launches

    def __init__(self, attender: LocalAttender, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.h, self.w = grid
        self.neighbours = len(attender.offsets)
        self.reach = max(dy for dy, _ in attender.offsets)
        self.rows = max(1, min(self.h, self.TILE_BYTES // (self.w * self.neighbours * channels * 4)))
        # Positions of every cell's neighbours in a tile of padded rows, flattened.
        pitch = self.w + 2 * self.reach
        cells = torch.arange(self.rows)[:, None] * pitch + torch.arange(self.w)
        offsets = torch.tensor([(self.reach + dy) * pitch + self.reach + dx for dy, dx in attender.offsets])
        self.register_buffer("positions", (cells[:, :, None] + offsets).flatten(), persistent=False)

    def forward(self, logits: Tensor, values: Tensor) -> Rows:
        n, channels = values.shape[:2]
        weights = logits.permute(0, 2, 3, 1).softmax(dim=-1, dtype=torch.float32).to(values.dtype)
        weights = weights.reshape(n, self.h, 2, self.w, 2, self.neighbours).transpose(2, 3)
        padded = F.pad(values, (self.reach,) * 4, mode="replicate").permute(0, 2, 3, 1)
        tiles = []
        for top in range(0, self.h, self.rows):
            rows = min(self.rows, self.h - top)
            tile = padded[:, top : top + rows + 2 * self.reach].reshape(n, -1, channels)
            positions = self.positions[: rows * self.w * self.neighbours]
            cells = tile.index_select(1, positions).reshape(-1, self.neighbours, channels)
            pooled = torch.bmm(weights[:, top : top + rows].reshape(-1, 4, self.neighbours), cells)
            tiles.append(pooled.reshape(n, rows, self.w, 2, 2, channels).transpose(2, 3))
        out = torch.cat(tiles, dim=1).reshape(n, 2 * self.h, 2 * self.w, channels)
        return lambda low, high: out[:, low:high]


class BandedResize(nn.Module):
    """`uplift.resize`, bilinear with antialias, in fp32, from rows to bands of rows [N,rows,W',C].

    Each band is a product with a few rows of the vertical matrix, and just the columns that are not zero
    there; then the same horizontally. PyTorch's own kernel takes six times as long for 384 channels. With
    `planar` the bands are planes of channels in memory, at no cost.
    """

    def __init__(self, size: tuple[int, int], out: tuple[int, int], planar: bool) -> None:
        super().__init__()
        self.width, self.planar = out[1], planar
        self.rows = self._blocks("row", size[0], out[0], 16)
        self.columns = self._blocks("column", size[1], out[1], 28)

    def _blocks(self, name: str, size: int, out: int, step: int) -> list[tuple[int, int, str]]:
        """Of the matrix [out,size]: the columns that a few rows read, from and to, and the block's buffer."""
        matrix = resize(torch.eye(size)[None, None], (out, size))[0, 0]
        blocks = []
        for i, block in enumerate(matrix.split(step)):
            read = block.any(dim=0).nonzero()
            low, high = int(read.min()), int(read.max()) + 1
            self.register_buffer(f"{name}_{i}", block[:, low:high].clone(), persistent=False)
            blocks.append((low, high, f"{name}_{i}"))
        return blocks

    def forward(self, rows: Rows) -> Iterator[Tensor]:
        for low, high, name in self.rows:
            block, x = getattr(self, name), rows(low, high).float()
            n, _, width, channels = x.shape
            x = torch.bmm(block.expand(n, -1, -1), x.reshape(n, high - low, width * channels))
            x = self._resize_columns(x.reshape(-1, width, channels))
            yield x.reshape(n, block.shape[0], self.width, channels)

    def _resize_columns(self, x: Tensor) -> Tensor:
        """[M,W,C] to [M,W',C]."""
        parts = []
        for low, high, name in self.columns:
            block = getattr(self, name)
            if self.planar:
                parts.append(torch.bmm(x[:, low:high].transpose(1, 2), block.t().expand(x.shape[0], -1, -1)))
            else:
                parts.append(torch.bmm(block.expand(x.shape[0], -1, -1), x[:, low:high]))
        return torch.cat(parts, dim=2).transpose(1, 2) if self.planar else torch.cat(parts, dim=1)


class FastEncoder(nn.Module):
    """The encoder's maps; the last one only at every `stride`-th pixel."""

    def __init__(self, uplift: Uplift, stride: int) -> None:
        super().__init__()
        encoder = uplift.encoder
        widths = [3, *encoder.widths]
        self.downs = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for i in range(encoder.down_steps + 1):
            last = i == encoder.down_steps
            self.downs.append(_folded_down(getattr(encoder, f"down_{i}")) if i else nn.Identity())
            self.blocks.append(FastBlocks(getattr(encoder, f"block_{i}"), [widths[i]], stride if last else 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        x = image
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(x))
            maps.append(x)
        return maps


def fold_batch_norms(layers: nn.Sequential) -> nn.Sequential:
    """The same layers, every batch norm folded into the convolution before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer)
        else:
            folded.append(copy.deepcopy(layer))
    return nn.Sequential(*folded)


def _folded_down(down: Down) -> Down:
    down = copy.deepcopy(down)
    if isinstance(down.down, nn.Sequential):
        down.down = fold_batch_norms(down.down)
    return down


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
        gpu: bool = False,
        project: bool = True,
    ) -> None:
        """`gpu`: pools as they were measured on one. `project`: of wide features only what the decoder and
        the readouts make of them is upsampled.
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
        self.projection: Projection | None = None
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
        self.encoder = FastEncoder(uplift, self._stride_of_last_map(uplift, image))
        self.block_0 = FastBlocks(decoder.block_0, [uplift.channels, widths[-1]])
        # Pooling ten times the block's width takes a fifth of the time that convolving as many channels does.
        # Where all features are read, too, it takes much more memory.
        read = sum(uplift.channels if head.weight is None else len(head.weight) for head in readouts)
        pays = uplift.channels > max(2 * decoder.block_0.width, read)
        if project and pays and uplift.refiner is None:
            self.projection = Projection(self.block_0.blocks[0], self.heads, uplift.channels)
        self.up = copy.deepcopy(decoder.up_1)
        self.logits = FastBlocks(
            decoder.block_1, [decoder.block_0.width, widths[-2]], head=_attender_logits(uplift.attender)
        )
        self.refiner: FastBlocks | None = None
        if uplift.refiner is not None:
            self.refiner_merge, self.refiner_map = uplift.refiner_merge.mode, uplift.refiner_map
            self.refiner = FastBlocks(uplift.refiner, [uplift.channels, widths[self.refiner_map]])
            self.refiner_output = copy.deepcopy(uplift.ref_outc)
        self.pools = nn.ModuleList()
        for step in range(self.steps):
            widths = [self.heads[i].out_channels for i in self.pooled_heads if step == self.steps - 1]
            cells = (grid[0] << step, grid[1] << step)
            self.pools.append(
                GatheredPool(uplift.attender, cells, sum(widths) or uplift.channels)
                if gpu
                else AttentionPool(uplift.attender, cells)
            )

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

    def lower_precision(self, dtype: torch.dtype) -> FastUplift:
        """Maps in `dtype`; heads, and features or logits once a head made them, stay in fp32."""
        self.to(dtype)
        self.heads.float()
        return self

    def forward(self, image: Tensor, features: Tensor) -> list[Tensor]:
        maps = zip(self.readouts, self.rows(image, features), strict=True)
        return [rows(0, self.grid[0] << readout.step).permute(0, 3, 1, 2) for readout, rows in maps]

    def rows(self, image: Tensor, features: Tensor) -> list[Rows]:
        x = features.contiguous(memory_format=torch.channels_last)
        maps = self.encoder(encoder_image(image, self.patch)) if self.steps else []
        if self.projection is not None:
            return self._rows_of_products(self.projection(x), maps)
        outputs = self._read(0, x)
        for step in range(1, self.steps + 1):
            values = x
            if step == self.steps and self.pooled_heads:  # here: features need not outlast the block below
                values = torch.cat([_precisely(self.heads[i], x) for i in self.pooled_heads], dim=1)
            rows = self.pools[step - 1](self._logits(step, maps, x), values)
            if step == self.steps and self.pooled_heads:
                outputs |= _split_rows(rows, {i: self.heads[i].out_channels for i in self.pooled_heads})
            elif step == self.steps and self.pooled_features:
                outputs[self.pooled_features[0]] = rows
            else:
                high = (self.grid[0] << step, self.grid[1] << step)
                x = rows(0, high[0]).permute(0, 3, 1, 2)
                if self.refiner is not None:
                    encoded = resize(maps[self.refiner_map], high, self.refiner_merge)
                    x = self.refiner_output(self.refiner(x, encoded))
                outputs |= self._read(step, x)
        return [outputs[i] for i in range(len(self.readouts))]

    def _rows_of_products(self, products: Tensor, maps: list[Tensor]) -> list[Rows]:
        outputs: dict[int, Rows] = {}
        rows = _rows(products)
        for step in range(1, self.steps + 1):
            height = self.grid[0] << (step - 1)
            convolved, residual, heads = self.projection.read(rows, height)
            read = heads.split(self.projection.heads, dim=1)
            outputs |= {i: _rows(x) for i, x in enumerate(read) if self.readouts[i].step == step - 1}
            last = [i for i in range(len(read)) if self.readouts[i].step == step == self.steps]
            values = torch.cat([read[i] for i in last], dim=1) if last else products
            rows = self.pools[step - 1](self._logits(step, maps, convolved, residual), values)
            if last:
                outputs |= _split_rows(rows, {i: self.projection.heads[i] for i in last})
            elif step + 1 < self.steps:
                products = rows(0, 2 * height).permute(0, 3, 1, 2)
                rows = _rows(products)
        return [outputs[i] for i in range(len(self.readouts))]

    def _logits(self, step: int, maps: list[Tensor], x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The attention's at the grid of `step`, from what block_0 reads at the one below it."""
        low, high = ((self.grid[0] << i, self.grid[1] << i) for i in (step - 1, step))
        guide = self.up(self.block_0(x, resize(maps[-1], low, self.merge_mode), residual=residual))
        return self.logits(guide, resize(maps[-2], high, self.merge_mode))

    def _read(self, step: int, x: Tensor) -> dict[int, Rows]:
        return {
            i: _rows(_precisely(head, x))
            for i, (head, readout) in enumerate(zip(self.heads, self.readouts, strict=True))
            if readout.step == step
        }


HEAD_ROWS = 64
"""Rows of features in less that become fp32 at a time, for a head."""


def _precisely(head: nn.Module, x: Tensor) -> Tensor:
    """The head's output in fp32; of features in less a band of rows at a time becomes fp32."""
    if x.dtype == torch.float32 or isinstance(head, nn.Identity):
        return head(x.float())
    return torch.cat([head(band.float()) for band in x.split(HEAD_ROWS, dim=2)], dim=2)


def _split_rows(rows: Rows, widths: dict[int, int]) -> dict[int, Rows]:
    """Rows of channels side by side, each part by its key; all are computed once."""
    once = functools.cache(rows)
    ends = itertools.accumulate(widths.values())
    return {
        i: functools.partial(_channels, once, end - widths[i], end)
        for i, end in zip(widths, ends, strict=True)
    }


def _channels(rows: Rows, start: int, end: int, low: int, high: int) -> Tensor:
    return rows(low, high)[..., start:end]


def _rows(x: Tensor) -> Rows:
    """Those of a map [N,C,H,W]."""
    return functools.partial(_slice, x.permute(0, 2, 3, 1))


def _slice(x: Tensor, low: int, high: int) -> Tensor:
    return x[:, low:high]


def _head(channels: int, readout: Readout) -> nn.Module:
    if readout.weight is None:
        return nn.Identity()
    projection = nn.Conv2d(channels, readout.weight.shape[0], 1, bias=readout.bias is not None)
    projection.weight = nn.Parameter(readout.weight.detach().reshape(-1, channels, 1, 1).clone())
    if readout.bias is not None:
        projection.bias = nn.Parameter(readout.bias.detach().clone())
    return projection


def _attender_logits(attender: LocalAttender) -> nn.Conv2d:
    """conv1 plus the residual of the guide's first channels, as one 1×1 convolution."""
    conv = attender.conv1
    logits = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    identity = torch.eye(conv.out_channels, conv.in_channels)[:, :, None, None]
    logits.weight = nn.Parameter((conv.weight + identity).detach())
    logits.bias = nn.Parameter(conv.bias.detach().clone())
    return logits
