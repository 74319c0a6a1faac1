"""The CUDA side against the CPU side. Skipped without a GPU."""

import ctypes
import os
from collections.abc import Callable
from functools import partial

import pytest
import torch
from conftest import LIBRARY
from test_graph import assert_agree, model
from test_lane import Lane, pointer
from test_operators import DTYPES, OPERATORS, ROUNDING, case
from torch import Tensor
from uplift_toolkit.bundle import Variant
from uplift_toolkit.graph import UpsamplerGraph
from uplift_toolkit.operators import OperatorUpsampler
from uplift_toolkit.uplift import NEIGHBOURHOODS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def assert_same(operator: str, *arguments: Tensor | int) -> None:
    on_gpu = [x.cuda() if isinstance(x, Tensor) else x for x in arguments]
    outputs = getattr(OPERATORS, operator)(*on_gpu)
    expected = getattr(OPERATORS, operator)(*arguments)
    if isinstance(outputs, Tensor):
        outputs, expected = [outputs], [expected]
    for x, right in zip(outputs, expected, strict=True):
        assert (x.shape, x.dtype, x.is_cuda) == (right.shape, right.dtype, True)
        if operator.startswith(
            "classify"
        ):  # an exponential may differ in its last bit, and two classes be equal
            assert (x.cpu() == right).float().mean() >= 0.98
        else:
            difference = (x.cpu().double() - right.double()).abs().max()
            assert difference <= ROUNDING[x.dtype] * right.double().abs().max()


@pytest.mark.parametrize("neighbours", NEIGHBOURHOODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_attention(neighbours, dtype):
    for channels in (1, 19, 64, 150, 300):
        logits, values = case(neighbours, (33, 21), channels, dtype, frames=2)
        assert_same("attend", logits, values)
        for size in ((66, 42), (57, 37), (90, 50), (16, 11), (7, 4)):
            assert_same("attend_resize", logits, values, *size)
            assert_same("classify", logits, values, *size)
            assert_same("classify_confidence", logits, values, *size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 64])
def test_passes(dtype, channels):
    x, half = torch.randn(2, 34, 22, channels).to(dtype), torch.randn(2, 17, 11, channels).to(dtype)
    bias = torch.randn(channels).to(dtype)
    assert_same("add_doubled", x, bias, half)
    assert_same("add_residual", x, bias, torch.randn(2, 68, 43, 16).to(dtype), 2)
    assert_same("sample", x, 2)


def test_a_cuda_graph_holds_the_operators():
    logits, values = (x.cuda() for x in case(17, (64, 64), 150, torch.float16))
    call = partial(OPERATORS.classify_confidence, logits, values, 112, 112)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()
    for seed in (1, 2):
        for old, new in zip((logits, values), case(17, (64, 64), 150, torch.float16, seed=seed), strict=True):
            old.copy_(new)
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(x, right) for x, right in zip(outputs, call(), strict=True))


def recorded(lane: Lane, launch: Callable[[], Tensor]) -> tuple[pointer, int, int]:
    """A recording, where its output will be and how many bytes; the tensor is freed, as the JVM does."""
    recording = pointer()
    lane("record")
    output = launch()
    lane("recorded", ctypes.byref(recording))
    return recording, output.data_ptr(), output.numel() * output.element_size()


def test_two_lanes_replay_at_a_time_what_was_launched():
    library = ctypes.CDLL(os.environ.get("UPLIFT_OPERATORS", str(LIBRARY)))
    logits, values = (x.cuda() for x in case(17, (64, 64), 150, torch.float16))
    launches = (OPERATORS.attend, partial(OPERATORS.classify, height=112, width=112))
    lanes = [Lane(library, torch.cuda.current_device()) for _ in range(2)]
    inputs = [torch.empty_like(values) for _ in lanes]
    torch.cuda.synchronize()  # lanes do not wait for the default stream
    size = values.numel() * values.element_size()
    recordings, hosts = [], []
    for lane, x in zip(lanes, inputs, strict=True):
        lane("enter")
        for launch in launches:
            launch(logits, x)
        recordings.append([recorded(lane, partial(launch, logits, x)) for launch in launches])
        lane("leave")
        hosts.append((lane.pinned(size), [lane.pinned(length) for *_, length in recordings[-1]]))
    torch.cuda.empty_cache()
    for seed in (1, 2, 3):
        given = [case(17, (64, 64), 150, torch.float16, seed=10 * seed + i)[1] for i in range(2)]
        for lane, x, new, record, (source, targets) in zip(
            lanes, inputs, given, recordings, hosts, strict=True
        ):
            source[:] = new.contiguous().view(torch.uint8).flatten().tolist()
            lane("enter")
            lane("mark", 0)
            lane("copy", pointer(x.data_ptr()), source, ctypes.c_int64(size))
            for (recording, address, length), target in zip(record, targets, strict=True):
                lane.check(library.uplift_recording_replay(recording))
                lane("copy", target, pointer(address), ctypes.c_int64(length))
            lane("mark", 1)
            lane("leave")
        for lane, new, (_, targets) in zip(lanes, given, hosts, strict=True):
            lane("await", 1)
            assert lane.nanos(0, 1) > 0
            for launch, target in zip(launches, targets, strict=True):
                right = launch(logits, new.cuda()).cpu().view(torch.uint8).flatten()
                assert torch.equal(torch.frombuffer(bytearray(target), dtype=torch.uint8), right)
    for lane, record in zip(lanes, recordings, strict=True):
        for recording, *_ in record:
            lane.check(library.uplift_recording_delete(recording))
        lane("close")


def test_positions_beyond_32_bits():
    logits, values = case(5, (1024, 1024), 384, torch.float16)
    logits, values = logits.cuda(), values.cuda()
    once = OPERATORS.attend(logits, values)
    twice = OPERATORS.attend(
        logits.expand(2, -1, -1, -1).contiguous(), values.expand(2, -1, -1, -1).contiguous()
    )
    assert twice.numel() > 1 << 31
    assert torch.equal(twice[0], once[0]) and torch.equal(twice[1], once[0])


def test_tensors_on_two_devices_are_refused():
    logits, values = case(17, (4, 4), 8, torch.float32)
    with pytest.raises(RuntimeError, match="on another device than values"):
        OPERATORS.attend(logits.cuda(), values)


@pytest.mark.parametrize("patch", [14, 16])
def test_graph(patch):
    made = model(patch, 17, 5 * patch, 3 * patch)
    frames = torch.randint(0, 256, (2, 3 * patch, 5 * patch, 3), dtype=torch.uint8)
    features = torch.randn(2, 24, 3, 5)
    with torch.inference_mode():
        expected = list(UpsamplerGraph(made, Variant("cpu", "fp32"))(frames, features))
        graph = OperatorUpsampler(made, torch.float16).eval().cuda()
        traced = torch.jit.freeze(torch.jit.trace(graph, (frames.cuda(), features.cuda()), check_trace=False))
        for _ in range(3):  # the first calls are those of graphs that are not optimised yet
            outputs = [x.cpu() for x in traced(frames.cuda(), features.cuda())]
            assert_agree(outputs, expected, 0.97, 0.01)
