"""UPLiFT for inference: the same numbers as uplift.py, from less work.

Exact algebra, no approximation: batch norms are folded, the n-fold neighbourhood is never materialised,
linear heads are pooled instead of features, and so is what the decoder's first convolution makes of them.
The last encoder block runs at the stride it is read at, the attender's 1×1 is folded into the block before
it, and the last step is pooled, resized and finished a few rows at a time. Maps are channels_last: rows of
pixels, each a row of channels. `quantise.py` alone gives other numbers.
"""

from uplift_toolkit.fast.blocks import fold_batch_norms
from uplift_toolkit.fast.resize import BandedResize, PlainResize
from uplift_toolkit.fast.upsample import FastUplift, Readout

__all__ = ["BandedResize", "FastUplift", "PlainResize", "Readout", "fold_batch_norms"]
