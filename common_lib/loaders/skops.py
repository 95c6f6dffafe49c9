"""scikit-learn by skops: data and names of types, of which only known ones are built."""

from collections.abc import Collection
from typing import Any

from common_lib.errors import LoadRefused
from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

fault = BY_NAME["skops"].fault


def load(content: bytes, *, trusted_types: Collection[str] = ()) -> Any:
    """The estimator, if it is made of types only that skops knows or that the caller names.

    Raises:
        LoadRefused: the file names another type; nothing of it was built.
    """
    names = list(trusted_types)
    if isinstance(trusted_types, str) or not all(isinstance(name, str) for name in names):
        raise LoadRefused(
            "trusted_types", why="is not a list of names", remedy='pass the full names of types, ["module.Type"]'
        )
    skops = library("skops.io", extra="skops")
    unknown = library("skops.io.exceptions", extra="skops").UntrustedTypesFoundException
    try:
        return skops.loads(content, trusted=names)
    except unknown as error:
        raise LoadRefused(
            "the skops file",
            why=f"it names types that nobody trusts: {str(error)[:400]}",
            remedy="read their code, then pass those that you trust as trusted_types=[…]",
        ) from error
