"""What the crash tests share."""

from collections.abc import Iterator

import pytest

from tests.crash.nursery import Nursery, nursery


@pytest.fixture(scope="module")
def children() -> Iterator[list[Nursery]]:
    """Parents of processes that are born to be killed, for two at a time."""
    with nursery() as one, nursery() as another:
        yield [one, another]
