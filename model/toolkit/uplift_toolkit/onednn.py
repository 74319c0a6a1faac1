"""What the graphs do for oneDNN's sake, the library that PyTorch computes with on x86-64 CPUs.

It gets some sums wrong, has no fast kernel for others, and its convolution of 8-bit integers is not made for
the tracer. The JVM's PyTorch 2.7 contains oneDNN 3.7.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PixelLinear(nn.Module):
    """A 1x1 convolution as a matrix product."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.out_channels = conv.out_channels
        self.weight = nn.Parameter(conv.weight[:, :, 0, 0].detach().clone())
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def avoid_wide_convolutions(module: nn.Module) -> None:
    """Multiplies matrices in place of 1x1 convolutions in fp32 with more than 32 outputs, but for 64 and 128.

    On CPUs with AVX-512 oneDNN 3.7 gets the last outputs of some of them wrong, such as of 33, 133, 292, 320
    or 512; 64 and 128 have been right.
    """
    for name, child in module.named_children():
        plain = type(child) is nn.Conv2d and child.groups == 1 and child.padding == (0, 0)
        if plain and child.kernel_size == child.stride == (1, 1) and child.weight.dtype == torch.float32:
            if child.out_channels > 32 and child.out_channels not in (64, 128):
                setattr(module, name, PixelLinear(child))
        else:
            avoid_wide_convolutions(child)


class PatchLinear(nn.Module):
    """A convolution whose stride is its kernel, as a matrix product: [N,C,H,W] to [N,dim,H/patch,W/patch].

    oneDNN has no fast kernel for it in bf16.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.patch = conv.kernel_size[0]
        self.linear = nn.Linear(conv.weight[0].numel(), conv.out_channels, conv.bias is not None)
        self.linear.weight = nn.Parameter(conv.weight.permute(0, 2, 3, 1).flatten(1).detach().clone())
        self.linear.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        h, w = height // self.patch, width // self.patch
        rows = x.permute(0, 2, 3, 1).reshape(n, h, self.patch, w, self.patch * channels).transpose(2, 3)
        return self.linear(rows.reshape(n, h, w, -1)).permute(0, 3, 1, 2)


SCORES = 1 << 25
"""Attention scores, of queries by keys, that exist at a time for each frame."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of [N,heads,T,D] as two matrix products, by bands of queries.

    oneDNN multiplies the matrices. PyTorch's own attention takes MKL, which has no fast kernel for bf16 on
    AMD's CPUs.
    """
    n, heads, tokens, channels = q.shape
    q, k, v = (x.reshape(-1, tokens, channels) for x in (q * channels**-0.5, k, v))
    bands = q.split(max(1, SCORES // (heads * tokens)), dim=1)
    attended = [torch.bmm(torch.bmm(band, k.transpose(1, 2)).softmax(dim=-1), v) for band in bands]
    return torch.cat(attended, dim=1).reshape(n, heads, tokens, channels)


LARGEST_WEIGHT = 63
"""With 127, two products of 255 overflow the 16 bits that CPUs without VNNI add them in."""

ALIGNED = 16
"""Integers are convolved from and to multiples of these many channels: on CPUs with AVX-512, oneDNN 3.7 gets
3x3 convolutions of other widths wrong."""


def convolves_integers() -> bool:
    """Whether this PyTorch convolves integers; builds for other processors than x86-64 may not."""
    return hasattr(torch.ops.onednn, "qconv2d_pointwise")


def pad_channels(x: Tensor, channels: int, value: int) -> Tensor:
    """The u8 map [N,C,H,W], channels last in memory, with further channels of `value` up to `channels`."""
    if x.shape[1] == channels:
        return x
    padded = F.pad(x.permute(0, 2, 3, 1), (0, channels - x.shape[1]), value=float(value))
    return padded.permute(0, 3, 1, 2)


def _convolve(
    x: Tensor,  # u8 [N,C,H,W]
    zero: int,  # the value of x that stands for 0
    weight: Tensor,  # int8 [K,C,kernel,kernel]
    scale: Tensor,  # [K], of an output for products of integers
    bias: Tensor,  # [K]
    stride: int,
    out: float,  # the scale of a u8 output; 0: the output is fp32
    out_zero: int,  # the value of a u8 output that stands for 0; 0: the output is rectified
    residual: Tensor | None,  # u8 [N,K,H/stride,W/stride] around 128, becomes the u8 output
    residual_scale: float,
) -> Tensor:
    # oneDNN's own format is made anew for every call, in a tenth of a millisecond: it cannot be saved.
    # The arguments choose between the operator's two forms.
    padding = weight.shape[2] // 2
    strides, pads, dilation = [stride, stride], [padding, padding], [1, 1]
    packed = torch.ops.onednn.qconv_prepack(weight, scale, 1.0, zero, strides, pads, dilation, 1, x.shape)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    dtype, out = (torch.uint8, out) if out > 0 else (torch.float32, 1.0)
    # fmt: off
    if residual is None:
        return torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, zero, packed, scale, zeros, bias, strides, pads, dilation, 1,
            out, out_zero, dtype, "none", [], "",
        )
    return torch.ops.onednn.qconv2d_pointwise(
        x, 1.0, zero, packed, scale, zeros, residual, bias, strides, pads, dilation, 1,
        out, out_zero, dtype, residual_scale, 128, "sum", 1.0, "none", [], "",
    )
    # fmt: on


@functools.cache
def _scripted() -> Callable[..., Tensor]:
    """The operator for the tracer, which does not know the type of its last list."""
    return torch.jit.script(_convolve)


class QuantisedConv(nn.Module):
    """A convolution of integers: u8 to u8, or to fp32."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: int, zero: int, out: float, out_zero: int = 0
    ) -> None:
        """`weight` [K,C,k,k] multiplies x - zero for u8 x; `out` is the scale of a u8 output, 0 for fp32.

        A u8 output whose `out_zero` is 0 is rectified: it has nothing below. A 3x3 convolution has surplus
        outputs if K is no multiple of ALIGNED; surplus inputs are ignored.
        """
        super().__init__()
        self.stride, self.zero, self.out, self.out_zero = stride, zero, out, out_zero
        bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        surplus = -len(weight) % ALIGNED if weight.shape[2] > 1 else 0
        weight = F.pad(weight.detach(), (0, 0, 0, 0, 0, -weight.shape[1] % ALIGNED, 0, surplus))
        scale = (weight.abs().amax(dim=(1, 2, 3)) / LARGEST_WEIGHT).clamp(min=1e-12)
        self.register_buffer("weight", (weight / scale[:, None, None, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", F.pad(bias, (0, surplus)))

    def forward(self, x: Tensor, residual: Tensor | None = None, residual_scale: float = 0.0) -> Tensor:
        """`residual`, u8 around 128, is added and its memory taken for the output."""
        x = pad_channels(x, self.weight.shape[1], self.zero)
        weights = (self.weight, self.scale, self.bias)
        out = (self.out, self.out_zero)
        return _scripted()(x, self.zero, *weights, self.stride, *out, residual, residual_scale)
