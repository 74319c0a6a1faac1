"""Lanes: to the CPU with the library under test, and to a stand-in for a GPU that tells what it was told."""

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LIBRARY

CUDA = Path(__file__).parents[1]
STAND_IN = CUDA / "tests" / "stand_in"
pointer = ctypes.c_void_p


class Lane:
    def __init__(self, library: ctypes.CDLL, device: int) -> None:
        self.library, self.lane = library, pointer()
        library.uplift_error.restype = ctypes.c_char_p
        self.check(library.uplift_lane_open(device, ctypes.byref(self.lane)))

    def check(self, error: int) -> None:
        if error:
            raise RuntimeError(self.library.uplift_error().decode())

    def __call__(self, name: str, *arguments: object) -> None:
        self.check(getattr(self.library, f"uplift_lane_{name}")(self.lane, *arguments))

    def pinned(self, size: int) -> ctypes.Array:
        memory = pointer()
        self("pinned", ctypes.c_int64(size), ctypes.byref(memory))
        return (ctypes.c_uint8 * size).from_address(memory.value)

    def copy(self, to: ctypes.Array, source: ctypes.Array) -> None:
        self(
            "copy", pointer(ctypes.addressof(to)), pointer(ctypes.addressof(source)), ctypes.c_int64(len(to))
        )

    def nanos(self, start: int, end: int) -> int:
        nanos = ctypes.c_int64()
        self("nanos", start, end, ctypes.byref(nanos))
        return nanos.value

    def record(self) -> pointer:
        recording = pointer()
        self("record")
        self("recorded", ctypes.byref(recording))
        return recording


def test_a_lane_to_the_cpu_copies_at_once_and_records_nothing():
    lane = Lane(ctypes.CDLL(str(LIBRARY)), -1)
    source, target = lane.pinned(5), (ctypes.c_uint8 * 5)()
    source[:] = [1, 2, 3, 4, 255]
    lane("enter")
    lane("mark", 0)
    lane.copy(target, source)
    lane("mark", 7)
    lane("await", 7)
    lane("leave")
    assert list(target) == [1, 2, 3, 4, 255]
    assert 0 < lane.nanos(0, 7) < 60e9
    with pytest.raises(RuntimeError, match="a CPU records nothing"):
        lane("record")
    with pytest.raises(RuntimeError, match=r"mark 8 \(expected: 0 to 7\)"):
        lane("mark", 8)
    lane("close")


def test_a_build_without_cuda_says_so():
    with pytest.raises(RuntimeError, match="this build of the uplift operators has no CUDA"):
        Lane(ctypes.CDLL(str(LIBRARY)), 0)


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    built = tmp_path_factory.mktemp("stand_in") / "lane.so"
    sources = [CUDA / "lane.cpp", STAND_IN / "stand_in.cpp"]
    flags = [
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-DUPLIFT_CUDA",
        f"-I{STAND_IN}",
        "-fPIC",
        "-shared",
    ]
    subprocess.run(["c++", *flags, *sources, "-o", built], check=True)
    library = ctypes.CDLL(str(built))
    library.stand_in_story.restype = ctypes.c_char_p
    return library


@pytest.fixture
def story(gpu: ctypes.CDLL) -> Callable[[], list[str]]:
    gpu.stand_in_fail(b"")
    gpu.stand_in_story()
    return lambda: gpu.stand_in_story().decode().splitlines()


def test_a_call_along_a_lane(gpu, story):
    lane = Lane(gpu, 3)
    host, device = lane.pinned(4), (ctypes.c_uint8 * 4)()
    assert story() == ["device 3", "stream", "device 3", "pinned 4"]
    host[:] = [9, 8, 7, 6]
    lane("enter")
    lane("mark", 0)
    lane.copy(device, host)
    lane("mark", 1)
    lane("await", 1)
    lane("leave")
    assert list(device) == [9, 8, 7, 6]
    assert lane.nanos(0, 1) == 1_500_000
    assert story() == ["device 3", "enter 3", "mark 0", "copy 4", "mark 1", "await 1", "leave", "nanos"]
    lane("close")
    assert story() == ["device 3", "pinned-freed", "stream-destroyed"]


def test_recordings_of_a_lane_share_their_memory_and_those_of_two_do_not(gpu, story):
    for lane in (Lane(gpu, 0), Lane(gpu, 0)):
        story()
        first, second = lane.record(), lane.record()
        thread_local = 1
        assert story() == [
            "graph",
            f"record new {thread_local}",
            "recorded",
            "graph",
            f"record shared {thread_local}",
            "recorded",
        ]
        for recording in (first, second):
            lane.check(gpu.uplift_recording_replay(recording))
            lane.check(gpu.uplift_recording_delete(recording))
        assert story() == ["replay", "graph-destroyed"] * 2
        lane("close")


@pytest.mark.parametrize("call", ["device", "stream", "pinned", "copy", "mark", "await", "nanos", "enter"])
def test_what_cuda_refuses_is_a_sentence(gpu, story, call):
    gpu.stand_in_fail(call.encode())
    with pytest.raises(RuntimeError) as refused:
        lane = Lane(gpu, 0)
        lane("enter")
        lane("leave")
        memory = lane.pinned(1)
        lane.copy(memory, memory)
        lane("mark", 0)
        lane("await", 0)
        lane.nanos(0, 1)
    expected = "libtorch refused a call" if call == "enter" else "CUDA error: "
    assert str(refused.value).startswith(expected)
    assert call == "enter" or str(refused.value).endswith(": the stand-in fails")
    assert (story()[-1] == "cleared") == (call != "enter")


@pytest.mark.parametrize("call", ["record", "recorded", "replay"])
def test_what_pytorch_refuses_to_record_is_its_first_line(gpu, story, call):
    lane = Lane(gpu, 0)
    story()
    gpu.stand_in_fail(call.encode())
    with pytest.raises(RuntimeError, match=f"^{call}[^\n]* goes wrong$"):
        recording = lane.record()
        try:
            lane.check(gpu.uplift_recording_replay(recording))
        finally:
            gpu.uplift_recording_delete(recording)
    gpu.stand_in_fail(b"")
    kept = call == "recorded"  # PyTorch's allocator may still ask it
    told = story()
    assert (told.count("graph"), told.count("graph-destroyed")) == (1, 0 if kept else 1)
    if call != "replay":  # a lane can record after that
        lane.check(gpu.uplift_recording_delete(lane.record()))
    lane("close")


def test_a_lane_is_entered_once(gpu, story):
    lane = Lane(gpu, 0)
    lane("enter")
    with pytest.raises(RuntimeError, match="the lane was entered before"):
        lane("enter")
    lane("leave")
    lane("leave")  # nothing to leave
    assert story().count("leave") == 1
    lane("close")
