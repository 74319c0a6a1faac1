"""Attention pooling, which doubles a map, without its neighbourhoods in memory.

A pool turns logits [N,n,2h,2w] and values [N,C,h,w], for one grid h, w, into the rows of a map [N,2h,2w,C].
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uplift_toolkit.uplift import LocalAttender

Rows = Callable[[int, int], Tensor]
"""A map's rows from one to before another, [N,rows,W,C], computed when they are asked for."""


def rows_of(x: Tensor) -> Rows:
    """The rows of a map [N,C,H,W]."""
    rows = x.permute(0, 2, 3, 1)
    return lambda low, high: rows[:, low:high]


def split_rows(rows: Rows, widths: Sequence[int]) -> list[Rows]:
    """The maps of the given widths whose channels lie side by side in `rows`; a band is computed once."""
    once = functools.cache(rows)

    def part(start: int, end: int, low: int, high: int) -> Tensor:
        return once(low, high)[..., start:end]

    ends = itertools.accumulate(widths)
    return [functools.partial(part, end - width, end) for width, end in zip(widths, ends, strict=True)]


class AttentionPool(nn.Module):
    """The pool of a CPU.

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
        first = _count(values[:, 0, 0, 0]) * (self.h * self.w)  # the row of the table that a frame begins at

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
    """The pool of a GPU: one product [4,n]·[n,C] per cell over neighbourhoods gathered for a tile of rows.

    This form has been measured on a GPU; embedding_bag has not.
    """

    TILE_BYTES = 256 << 20  # the neighbourhoods of a tile, in fp32: a GPU wants few launches

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
