"""Heads of arrays in numpy's own format: read before the array, so that it is never larger than its bytes."""

from io import BytesIO
from math import prod
from typing import IO, Any, Final

from common_lib.loaders.library import library

# numpy reads no longer head; before it stand a magic number, a version and a length.
_HEAD: Final = 12 + 10_000


def kind_of(stream: IO[bytes], size: int, *, extra: str) -> str:
    """Return the kind of an array's elements, as `dtype.kind`, once it is certain that its bytes are all there.

    numpy makes an array of elements without a size as long as its head says, out of no bytes at all. Each element of it
    takes memory as soon as something is made of them, such as a mask.

    Raises:
        ValueError: the head cannot be read, or there are more or fewer bytes than it says.
        LibraryMissing: numpy is not installed.
    """
    numpy: Any = library("numpy.lib.format", extra=extra)
    head = BytesIO(stream.read(_HEAD))
    try:
        # Versions 2 and 3 differ in how the names of fields are encoded, and these do not matter here.
        read = numpy.read_array_header_1_0 if numpy.read_magic(head) == (1, 0) else numpy.read_array_header_2_0
        shape, _, dtype = read(head)
    except Exception as error:  # numpy reads it by Python's tokenizer and parser, which raise errors of their own
        raise ValueError(f"the head of an array cannot be read: {type(error).__name__}") from error
    count, there = prod(shape), size - head.tell()
    if count * dtype.itemsize != there or count > there:
        raise ValueError(f"an array of {count} elements of {dtype.itemsize} bytes, in {there} bytes")
    kind: str = dtype.kind
    return kind
