"""In what two versions of a model differ."""

from msgspec import Struct

from common_lib.rules.comparison import Change, Part
from registry_server.domain.base import ModelName, Scalar, VersionNumber


class Difference(Struct, frozen=True):
    """One thing that either version has, and how the right one has it other than the left one."""

    part: Part
    name: str
    left: Scalar
    right: Scalar
    change: Change


class VersionDiff(Struct, frozen=True):
    """All that either of two versions has, part by part; what is equal too."""

    model: ModelName
    left: VersionNumber
    right: VersionNumber
    items: list[Difference]
