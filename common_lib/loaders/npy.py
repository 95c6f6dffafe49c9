"""Check the header of an array in numpy's format before the array is read, so that its size matches its bytes."""

from io import BytesIO
from math import prod
from typing import IO, Any, Final

from common_lib.loaders.library import library

# The longest header that numpy reads, with the magic number, the version and the length before it.
_HEADER_BYTES: Final = 12 + 10_000


def kind_of(stream: IO[bytes], size: int, *, extra: str) -> str:
    """Check that all bytes of an array are present, and return the kind of its elements as in `dtype.kind`.

    Elements of size zero need no bytes, so the header can state any number of them. They are counted as well, because
    they take memory later, for example when numpy computes a mask for the array.

    Raises:
        ValueError: the header cannot be read, or its number of bytes differs from the bytes that are present.
        LibraryMissing: numpy is not installed.
    """
    numpy: Any = library("numpy.lib.format", extra=extra)
    head = BytesIO(stream.read(_HEADER_BYTES))
    try:
        # Versions 2 and 3 differ only in the encoding of field names, which does not matter here.
        read = numpy.read_array_header_1_0 if numpy.read_magic(head) == (1, 0) else numpy.read_array_header_2_0
        shape, _, dtype = read(head)
    except Exception as error:  # numpy uses Python's tokenizer and parser, which raise many kinds of errors
        raise ValueError(f"the header of an array cannot be read: {type(error).__name__}") from error
    count, present = prod(shape), size - head.tell()
    if count * dtype.itemsize != present or count > present:
        raise ValueError(f"an array states {count} elements of {dtype.itemsize} bytes, but has {present} bytes")
    kind: str = dtype.kind
    return kind
