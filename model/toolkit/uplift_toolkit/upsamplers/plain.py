"""What every upsampler is to be compared with: interpolation, which neither learns nor sees the image."""

from torch import Tensor

from uplift_toolkit.uplift import resize
from uplift_toolkit.upsamplers.base import Commuting, Size


class Bilinear(Commuting):
    mode = "bilinear"

    def pool(self, guide: list[Tensor], values: Tensor, size: Size) -> Tensor:
        return resize(values, size, self.mode)


class Nearest(Bilinear):
    mode = "nearest"
