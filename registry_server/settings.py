"""What an operator may set; `registry-server serve` needs none of it."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

PREFIX: Final = "REGISTRY_SERVER_"
# These have options or variables of their own, or are for tests.
_NOT_FROM_VARIABLES: Final = frozenset({"data", "host", "port", "database_url", "memory", "access_log"})
_ZERO_IS_NO_LIMIT: Final = frozenset(
    {"min_body_bytes_per_s", "min_answer_bytes_per_s", "wrong_tokens_per_min", "write_bytes_per_s", "write_burst_bytes"}
    | {"max_open_uploads", "max_announced_bytes", "scrub_bytes_per_s", "scrub_pause_s", "scrub_most_damaged"}
)
_LONGEST_TEXT: Final = 200


class Settings(Struct, frozen=True):
    """Settings of one server.

    `database_url` is empty for SQLite in the data folder, or `postgresql://…`. `memory` keeps rows in memory, for
    tests; bytes still go to `data`. The head of a request is its first line and its headers; its time runs from its
    first byte, or from the beginning of the connection. JSON bodies end at 1 MiB, or at `max_body_bytes` if that is
    less; the registration of a version, and small blobs sent together, at `max_body_bytes`. A body has to come, and an
    answer has to be taken, at the least rates on average over the times beside them. All blobs are read again at that
    rate, with that pause between two rounds; a rate of 0 means never. After so many damaged blobs in one round the
    scrubber stops and raises an alarm. A quota or a rate of one principal or peer that is 0 limits nothing.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8321
    database_url: str = ""
    memory: bool = False
    max_body_bytes: int = 8 * 1024 * 1024
    max_blob_bytes: int = 64 * 1024**3
    access_log: bool = True
    max_head_bytes: int = 64 * 1024
    max_connections: int = 512
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    min_body_bytes_per_s: float = 1024.0
    answer_timeout_s: float = 30.0
    min_answer_bytes_per_s: float = 1024.0
    allowed_hosts: tuple[str, ...] = ()
    wrong_tokens_per_min: float = 30.0
    write_bytes_per_s: float = 4 * 1024**2
    write_burst_bytes: float = 32 * 1024**2
    max_open_uploads: int = 256
    max_announced_bytes: int = 1024**4
    keep_alive_s: int = 75
    scrub_bytes_per_s: float = 16 * 1024**2
    scrub_pause_s: float = 7 * 86_400.0
    scrub_most_damaged: int = 10


class InvalidSetting(ValueError):
    """A variable of the environment that is not a setting, or whose value the setting cannot have."""


def from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings that stand in variables such as `REGISTRY_SERVER_MAX_OPEN_UPLOADS`; empty ones count as unset.

    Raises:
        InvalidSetting: a variable with the prefix names no setting, or its value is not of the setting's type.

    >>> from_variables({"REGISTRY_SERVER_MAX_OPEN_UPLOADS": "8", "REGISTRY_SERVER_ALLOWED_HOSTS": "a.test,b.test"})
    {'allowed_hosts': ('a.test', 'b.test'), 'max_open_uploads': 8}
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings) if field.name not in _NOT_FROM_VARIABLES}
    given = {name.removeprefix(PREFIX): text.strip() for name, text in variables.items() if name.startswith(PREFIX)}
    if unknown := sorted(given.keys() - {name.upper() for name in fields}):
        raise InvalidSetting(
            f"{PREFIX}{unknown[0]} is not a setting of the server; these are: {', '.join(sorted(fields))}"
        )
    return {name: _value(name, fields[name].type, given[name.upper()]) for name in fields if given.get(name.upper())}


def _value(name: str, kind: Any, text: str) -> Any:
    if kind not in {int, float}:
        return tuple(one for one in text.replace(",", " ").split() if one)
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 2**63 or (number == 0 and name not in _ZERO_IS_NO_LIMIT):
        wanted = "a whole number" if kind is int else "a number"
        least = "of 0 or more" if name in _ZERO_IS_NO_LIMIT else "above 0"
        raise InvalidSetting(f"{PREFIX}{name.upper()} is {text[:_LONGEST_TEXT]!r}: it must be {wanted} {least}")
    return number


def default_data_folder() -> Path:
    """`$REGISTRY_DATA`, or a folder of the user's own as the XDG base directory specification says."""
    if given := os.environ.get("REGISTRY_DATA"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "model-registry"
