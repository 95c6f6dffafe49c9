"""References name a version: `models:/name/7`, `…@champion`, `…/production`, `…/latest`."""

import re
from typing import Final, NamedTuple

from common_lib.rules import names
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.violation import RuleViolation

_REFERENCE: Final = re.compile(r"^models:/(?P<name>[^/@?\s]+)(?:/(?P<word>[^/@?\s]+)|(?P<alias>@[^/@?\s]+))$(?!\n)")
_WORDS: Final = frozenset({"latest", *(str(stage) for stage in ModelStage)})
MAX_VERSION: Final = 2**31 - 1


class Reference(NamedTuple):
    """A model's name and the selector of one version: digits, `@alias`, a stage, or `latest`."""

    name: str
    selector: str

    def __str__(self) -> str:
        """`models:/…`, as `parse` reads it."""
        return f"models:/{self.name}{self.selector if self.selector.startswith('@') else '/' + self.selector}"


def parse(text: str) -> Reference:
    """The reference that `text` writes out.

    Raises:
        RuleViolation: `invalid_reference`, naming the forms there are.

    >>> parse("models:/eurusd-direction/production")
    Reference(name='eurusd-direction', selector='production')
    >>> str(parse("models:/eurusd-direction@champion"))
    'models:/eurusd-direction@champion'
    """
    match = names.matches(_REFERENCE, text)
    if match is None:
        raise _refused(text)
    return Reference(names.check_model_name(match["name"]), check_selector(match["alias"] or match["word"]))


def check_selector(selector: str) -> str:
    """A selector is a version number without leading zero, `@alias`, a stage, or `latest`."""
    if selector.startswith("@"):
        names.check_alias(selector[1:])
    elif selector not in _WORDS and version_number(selector) is None:
        raise _refused(selector)
    return selector


def version_number(selector: str) -> int | None:
    """The number if `selector` is one (1 … 2**31 - 1, no leading zero)."""
    if not re.match(r"^[1-9][0-9]{0,9}$(?!\n)", selector):
        return None
    number = int(selector)
    return number if number <= MAX_VERSION else None


def _refused(text: str) -> RuleViolation:
    return RuleViolation(
        "invalid_reference",
        field="reference",
        value=text,
        why="names no version",
        remedy="write models:/name/7, models:/name@champion, models:/name/production, /staging, /archived, "
        "/development or /latest",
    )
