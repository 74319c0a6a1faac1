"""The final resize of a map to an output's size, from rows to bands of rows [N,rows,W',C]."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from uplift_toolkit.fast.pools import Rows
from uplift_toolkit.uplift import resize


class PlainResize(nn.Module):
    """`uplift.resize` of all rows at once: one band."""

    def __init__(self, size: tuple[int, int], out: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.out = size, out

    def forward(self, rows: Rows) -> list[Tensor]:
        return [resize(rows(0, self.size[0]).permute(0, 3, 1, 2), self.out).permute(0, 2, 3, 1)]


class BandedResize(nn.Module):
    """`uplift.resize`, bilinear with antialias, in fp32, by bands of rows.

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
        """The blocks of `step` rows of the matrix [out,size]: the first column that is not zero, the one
        behind the last, and the name of the buffer that holds what lies between."""
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
