"""What the tests of hostile bytes share."""

import tracemalloc

import pytest

MIB = 1 << 20


def varint(number: int) -> bytes:
    """LEB128."""
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


class Peak:
    """The most memory that a block had at a time, in bytes, as Python and numpy allocate it."""

    def __enter__(self):
        tracemalloc.start()
        self.start = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *error):
        self.bytes = tracemalloc.get_traced_memory()[1] - self.start
        tracemalloc.stop()


def refused(read, message: str = "expected", at_most: int = MIB) -> None:
    with Peak() as peak, pytest.raises(ValueError, match=message):
        read()
    assert peak.bytes <= at_most
