"""The operators against plain PyTorch, on the CPU: its code is the GPU's, with loops for threads."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from uplift_toolkit.uplift import NEIGHBOURHOODS, double_size, resize

OPERATORS = torch.ops.uplift
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ROUNDING = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}  # of the largest value


def pooled(logits: Tensor, values: Tensor) -> Tensor:
    """[N,2h,2w,K] and [N,h,w,C] to [N,2h,2w,C], as uplift.LocalAttender computes it, in fp64."""
    weights = logits.double().softmax(dim=-1)
    h, w = values.shape[1:3]
    rows, columns = torch.arange(2 * h)[:, None] // 2, torch.arange(2 * w) // 2
    out = torch.zeros(*logits.shape[:3], values.shape[3], dtype=torch.float64)
    for k, (dy, dx) in enumerate(NEIGHBOURHOODS[logits.shape[3]]):
        neighbour = values.double()[:, (rows + dy).clamp(0, h - 1), (columns + dx).clamp(0, w - 1)]
        out += weights[..., k, None] * neighbour
    return out


def resized(logits: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The same at another size, [N,C,H,W]."""
    return resize(pooled(logits, values).permute(0, 3, 1, 2), size)


def case(
    neighbours: int, grid: tuple[int, int], channels: int, dtype: torch.dtype, frames: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h, w = grid
    logits = 3 * torch.randn(frames, 2 * h, 2 * w, neighbours, generator=generator)
    values = torch.randn(frames, h, w, channels, generator=generator)
    return logits.to(dtype), values.to(dtype)


def assert_close(x: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert x.dtype == dtype and x.is_contiguous()
    assert x.shape == expected.shape
    assert (x - expected).abs().max() <= ROUNDING[dtype] * expected.abs().max()


def assert_labels(labels: Tensor, expected: Tensor) -> None:
    """`expected`: logits [N,C,H,W]. Where two are equal to fp32's rounding, either is right."""
    chosen = expected.gather(1, labels[:, None].long())[:, 0]
    assert (expected.amax(dim=1) - chosen).max() <= 1e-5


@pytest.mark.parametrize("neighbours", NEIGHBOURHOODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("grid", "channels", "frames"), [((1, 1), 1, 1), ((5, 9), 24, 2), ((4, 8), 3, 1), ((9, 17), 40, 3)]
)
def test_attend(neighbours, dtype, grid, channels, frames):
    logits, values = case(neighbours, grid, channels, dtype, frames)
    assert_close(OPERATORS.attend(logits, values), pooled(logits, values), dtype)


def test_attend_takes_logits_of_another_type_than_values():
    for logits_type, values_type in product(DTYPES, DTYPES):
        logits, values = case(17, (6, 5), 19, torch.float32)
        logits, values = logits.to(logits_type), values.to(values_type)
        assert_close(OPERATORS.attend(logits, values), pooled(logits, values), values_type)


@pytest.mark.parametrize("neighbours", NEIGHBOURHOODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((32, 32), (56, 56)),  # 8:7, as with patches of 14
        ((20, 36), (35, 63)),
        ((16, 24), (32, 48)),  # as it is
        ((17, 9), (34, 18)),
        ((9, 11), (31, 40)),  # larger
        ((40, 30), (20, 15)),  # smaller
        ((40, 30), (27, 60)),  # smaller in one direction
        ((1, 1), (1, 1)),
        ((1, 2), (5, 3)),
    ],
)
def test_attend_resize(neighbours, dtype, grid, size):
    logits, values = case(neighbours, grid, 11, dtype)
    assert_close(OPERATORS.attend_resize(logits, values, *size), resized(logits, values, size), dtype)


@pytest.mark.parametrize("reduction", [2, 3, 7, 14])
def test_attend_resize_by_much(reduction):
    logits, values = case(17, (42, 63), 5, torch.float32)
    size = (84 // reduction, 126 // reduction)
    assert_close(OPERATORS.attend_resize(logits, values, *size), resized(logits, values, size), torch.float32)


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 8, 9, 19, 150, 256, 257, 300])
@pytest.mark.parametrize("size", [(14, 21), (16, 24)])
def test_classify(classes, size):
    logits, values = case(17, (8, 12), classes, torch.float32, frames=2)
    expected = resized(logits, values, size)
    labels = OPERATORS.classify(logits, values, *size)
    assert labels.dtype == (torch.uint8 if classes <= 256 else torch.int32)
    assert_labels(labels, expected)
    again, confidence = OPERATORS.classify_confidence(logits, values, *size)
    assert torch.equal(labels, again)
    share = expected.softmax(dim=1).amax(dim=1) * 255
    assert confidence.dtype == torch.uint8
    assert (confidence - share).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize("neighbours", NEIGHBOURHOODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_classify_in_every_type(neighbours, dtype):
    logits, values = case(neighbours, (30, 41), 19, dtype, frames=2)
    assert_labels(OPERATORS.classify(logits, values, 53, 72), resized(logits, values, (53, 72)))


def test_classify_takes_the_first_of_equals():
    logits, values = case(9, (4, 4), 12, torch.float32)
    assert OPERATORS.classify(logits, torch.ones_like(values), 8, 8).eq(0).all()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_pixel_whose_largest_logit_is_not_finite_has_no_class(wrong):
    logits, values = case(9, (4, 4), 12, torch.float32)
    values[0, 0, 0, 5] = wrong
    expected = resized(logits, values, (8, 8)).amax(dim=1).isfinite()
    labels, _ = OPERATORS.classify_confidence(logits, values, 8, 8)
    assert torch.equal(labels != 255, expected)
    assert 0 < expected.sum() < expected.numel()


def test_confidence_of_large_logits():
    logits, values = case(9, (4, 4), 12, torch.float32)
    values = 1e4 * values - 1e5
    _, confidence = OPERATORS.classify_confidence(logits, values, 7, 7)
    share = resized(logits, values, (7, 7)).softmax(dim=1).amax(dim=1) * 255
    assert (confidence - share).abs().max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("grid", "channels"), [((1, 1), 8), ((5, 7), 64), ((6, 3), 17)])
def test_add_doubled(dtype, grid, channels):
    half = torch.randn(2, *grid, channels).to(dtype)
    x = torch.randn(2, 2 * grid[0], 2 * grid[1], channels).to(dtype)
    bias = torch.randn(channels).to(dtype)
    doubled = double_size(half.double().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert_close(OPERATORS.add_doubled(x, bias, half), x.double() + bias.double() + doubled, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "others"), [(32, 16), (64, 384), (32, 3), (17, 8), (16, 16)])
@pytest.mark.parametrize(("stride", "size"), [(1, (5, 7)), (2, (9, 14)), (4, (8, 8))])
def test_add_residual(dtype, channels, others, stride, size):
    residual = torch.randn(2, *size, others).to(dtype)
    kept = residual[:, ::stride, ::stride]
    x = torch.randn(*kept.shape[:3], channels).to(dtype)
    bias = torch.randn(channels).to(dtype)
    expected = x.double() + bias.double()
    expected[..., :others] += kept.double()[..., :channels]
    assert_close(OPERATORS.add_residual(x, bias, residual, stride), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 32])
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_sample(dtype, channels, stride):
    x = torch.randn(2, 16, 24, channels).to(dtype)
    planes = x.permute(0, 3, 1, 2).float()
    expected = F.interpolate(planes, (16 // stride, 24 // stride), mode="nearest")
    assert torch.equal(OPERATORS.sample(x, stride).float(), expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_types_are_read_and_rounded_as_pytorch_does(dtype):
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(dtype)
    every = every[~every.isnan()]
    every = every[: every.numel() // 8 * 8].reshape(1, 1, -1, 8)
    assert torch.equal(OPERATORS.sample(every, 1), every)
    others = every.flatten()[torch.randperm(every.numel())].reshape(
        every.shape
    )  # of every size, subnormal and infinite
    zeros = torch.zeros(8, dtype=dtype)
    sums = (every.float() + others.float()).to(dtype)
    assert torch.equal(OPERATORS.add_residual(every, zeros, others, 1).nan_to_num(7), sums.nan_to_num(7))


def test_no_frames():
    logits, values = case(17, (4, 4), 19, torch.float32, frames=0)
    assert OPERATORS.attend(logits, values).shape == (0, 8, 8, 19)
    assert OPERATORS.classify(logits, values, 7, 7).shape == (0, 7, 7)
    assert OPERATORS.sample(values, 2).shape == (0, 2, 2, 19)


def refused(sentence: str, operator: str, *arguments: Tensor | int) -> None:
    with pytest.raises(RuntimeError) as error:
        getattr(OPERATORS, operator)(*arguments)
    assert sentence in str(error.value)


def test_wrong_arguments_are_refused_with_a_sentence():
    logits, values = case(17, (4, 6), 8, torch.float32)
    refused(
        "logits: shape [1,8,11,17] (expected: [1,8,12,17])", "attend", logits[:, :, :11].contiguous(), values
    )
    refused(
        "logits: 7 channels (expected: 5, 9, 13, 17 or 25 neighbours)",
        "attend",
        logits[..., :7].contiguous(),
        values,
    )
    refused("values: shape [4,6,8] (expected: 4 dimensions, [N,H,W,C])", "attend", logits, values[0])
    refused(
        "logits: a view of shape [1,8,12,17] (expected: contiguous memory)",
        "attend",
        logits.transpose(1, 2).contiguous().transpose(1, 2),
        values,
    )
    refused("(expected: float32, float16 or bfloat16)", "attend", logits, values.double())
    refused("values: shape [1,0,6,8] (expected: sizes of 1 to 268435455)", "attend", logits, values[:, :0])
    refused("values: memory that begins between", "attend", logits, torch.zeros(193)[1:].reshape(1, 4, 6, 8))
    refused("size: 0x5 (expected: both 1 to", "classify", logits, values, 0, 5)
    refused(
        "(expected: of either side no less than a fifteenth)",
        "classify",
        *case(5, (32, 32), 3, torch.float32),
        2,
        2,
    )
    refused(
        "bias: shape [7] (expected: [8])", "add_doubled", torch.zeros(1, 8, 12, 8), torch.zeros(7), values
    )
    refused(
        "x: shape [1,8,12,9] (expected: [1,8,12,8])",
        "add_doubled",
        torch.zeros(1, 8, 12, 9),
        torch.zeros(9),
        values,
    )
    refused(
        "x: another type than half (expected: the same)",
        "add_doubled",
        torch.zeros(1, 8, 12, 8).half(),
        torch.zeros(8),
        values,
    )
    refused("x: shape [1,4,6,8] (expected: [1,2,3,8])", "add_residual", values, torch.zeros(8), values, 2)
    refused("stride: 0 (expected: 1 to 65535)", "sample", values, 0)
