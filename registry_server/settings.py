"""Settings of the server. All of them have defaults in `registry-server serve`."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

PREFIX: Final = "REGISTRY_SERVER_"
# These settings have their own command-line options or variables, or are only for tests.
_NOT_FROM_VARIABLES: Final = frozenset({"data", "host", "port", "database_url", "memory", "access_log"})
_ZERO_IS_NO_LIMIT: Final = frozenset(
    {"min_body_bytes_per_s", "min_answer_bytes_per_s", "wrong_tokens_per_min", "write_bytes_per_s", "write_burst_bytes"}
    | {"max_open_uploads", "max_announced_bytes", "scrub_bytes_per_s", "scrub_pause_s", "scrub_most_damaged"}
)
_LONGEST_TEXT: Final = 200


class Settings(Struct, frozen=True):
    """Settings of one server.

    `database_url` is empty for SQLite in the data folder, or `postgresql://…`. With `memory`, rows are stored in
    memory, for tests; bytes are still stored in `data`. The head of a request is its first line and its headers. It
    must arrive within `head_timeout_s` seconds after its first byte, or after the beginning of the connection.
    `max_body_bytes` limits the registration of a version and a batch of small blobs; other JSON bodies are limited to 1
    MiB, or to `max_body_bytes` if that is less. A client must send a body with at least `min_body_bytes_per_s` bytes
    per second, on average over `body_timeout_s` seconds, and receive a response with at least `min_answer_bytes_per_s`
    bytes per second, on average over `answer_timeout_s` seconds. The scrubber reads all blobs again and again with
    `scrub_bytes_per_s` bytes per second (0: never), and pauses `scrub_pause_s` seconds between two rounds. After
    `scrub_most_damaged` damaged blobs in one round it stops and raises an alarm. A rate or quota of 0 means no limit.
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
    """The error for an environment variable that is not a setting, or whose value is not valid for the setting."""


def from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """Read settings from variables such as `REGISTRY_SERVER_MAX_OPEN_UPLOADS`; empty variables are ignored.

    Raises:
        InvalidSetting: a variable with the prefix is not a setting, or its value is not of the setting's type.

    >>> from_variables({"REGISTRY_SERVER_MAX_OPEN_UPLOADS": "8", "REGISTRY_SERVER_ALLOWED_HOSTS": "a.test,b.test"})
    {'allowed_hosts': ('a.test', 'b.test'), 'max_open_uploads': 8}
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings) if field.name not in _NOT_FROM_VARIABLES}
    texts = {name.removeprefix(PREFIX): text.strip() for name, text in variables.items() if name.startswith(PREFIX)}
    if unknown := sorted(texts.keys() - {name.upper() for name in fields}):
        raise InvalidSetting(
            f"{PREFIX}{unknown[0]} is not a setting of the server; the settings are: {', '.join(sorted(fields))}"
        )
    return {name: _value(name, fields[name].type, texts[name.upper()]) for name in fields if texts.get(name.upper())}


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
    """Return `$REGISTRY_DATA`, or a folder in the user's data folder (XDG base directory specification)."""
    if folder := os.environ.get("REGISTRY_DATA"):
        return Path(folder)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "model-registry"
