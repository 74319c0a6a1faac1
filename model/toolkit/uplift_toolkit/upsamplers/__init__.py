"""The field's other upsamplers: one file each, written to be read, with the state-dict names as published.

UPLiFT, which gives the map of every step at once, is `uplift_toolkit.uplift`.
"""

from typing import Any

from uplift_toolkit.upsamplers.anyup import AnyUp
from uplift_toolkit.upsamplers.base import Upsampler
from uplift_toolkit.upsamplers.featup import FeatUp
from uplift_toolkit.upsamplers.jafar import Jafar
from uplift_toolkit.upsamplers.lift import Lift
from uplift_toolkit.upsamplers.loftup import LoftUp
from uplift_toolkit.upsamplers.naf import Naf
from uplift_toolkit.upsamplers.plain import Bilinear, Nearest

UPLIFT = "uplift"
UPSAMPLERS: dict[str, type[Upsampler]] = {
    "lift": Lift,
    "featup": FeatUp,
    "jafar": Jafar,
    "anyup": AnyUp,
    "loftup": LoftUp,
    "naf": Naf,
    "bilinear": Bilinear,
    "nearest": Nearest,
}
KINDS = (UPLIFT, *UPSAMPLERS)
PLAIN = ("nearest", "bilinear")  # what the others are compared with: nothing is learnt


def upsampler_of(kind: str, arguments: dict[str, Any]) -> Upsampler:
    """The upsampler of the authors' arguments; ValueError names one that the kind does not have."""
    try:
        return UPSAMPLERS[kind](**arguments)
    except TypeError as e:
        raise ValueError(f"upsampler {kind}: {e}") from e


__all__ = ["KINDS", "PLAIN", "UPLIFT", "UPSAMPLERS", "Upsampler", "upsampler_of"]
