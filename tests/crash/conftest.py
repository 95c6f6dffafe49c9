"""Fixtures of the crash tests."""

from collections.abc import Iterator

import pytest

from tests.crash.nursery import Nursery, nursery


@pytest.fixture(scope="module")
def children() -> Iterator[list[Nursery]]:
    """Provide two parent processes whose children are killed."""
    with nursery() as one, nursery() as another:
        yield [one, another]
