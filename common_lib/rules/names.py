r"""Checks of names and texts. They refuse a wrong name and never correct it.

Every pattern ends with `$(?!\n)`, because a plain `$` accepts a newline at the end in Python's `re` and in PCRE.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

MODEL_NAME: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$(?!\n)"
ALIAS_NAME: Final = r"^[a-z](?:[a-z0-9_-]{0,62}[a-z0-9])?$(?!\n)"
PRINCIPAL_NAME: Final = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$(?!\n)"
MODEL_PATTERN: Final = r"^(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,126}\*?)$(?!\n)"
MODEL_PREFIX: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)"
TOKEN_ID: Final = r"^[0-9a-f]{16}$(?!\n)"  # noqa: S105 - a pattern
KEY: Final = r"^[A-Za-z0-9_](?:[A-Za-z0-9._/@-]{0,126}[A-Za-z0-9_])?$(?!\n)"
SHA256: Final = r"^[0-9a-f]{64}$(?!\n)"
DIGEST: Final = r"^sha256:[0-9a-f]{64}$(?!\n)"
PAGE_TOKEN: Final = r"^[A-Za-z0-9._~=-]{1,4096}$(?!\n)"  # noqa: S105 - a pattern
SEQUENCE: Final = r"^[0-9]{1,20}$(?!\n)"
CODE: Final = r"^[a-z][a-z0-9_]{0,63}$(?!\n)"
REQUEST_ID: Final = r"^[!-~]{0,256}$(?!\n)"
IDEMPOTENCY_KEY: Final = r"^[A-Za-z0-9_-]{8,128}$(?!\n)"
MEDIA_TYPE: Final = r"^[a-z0-9.+-]+/[a-z0-9.+-]+$(?!\n)"
# Every JSON parser reads integers up to this one exactly (RFC 8259, section 6).
LARGEST_COUNT: Final = 2**53 - 1
# Maximum lengths in characters. Patterns of names repeat them, for readers of the schemas.
NAME_LENGTH: Final = 128
SHORT_NAME_LENGTH: Final = 64
PATH_LENGTH: Final = 512
SHORT_TEXT_LENGTH: Final = 256
REASON_LENGTH: Final = 2_000
DESCRIPTION_LENGTH: Final = 10_000
SCALAR_LENGTH: Final = 1_000
MAX_TAGS: Final = 64
MAX_ENTRIES: Final = 256

_SEGMENT: Final = re.compile(r"^[A-Za-z0-9_(\[=@+-](?:[A-Za-z0-9._+=@,()\[\] -]*[A-Za-z0-9_)\]=@+-])?$(?!\n)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# Letters and symbols that are invisible; other invisible characters have a category of their own.
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_MAX_SEGMENTS: Final = 16
# Windows takes the superscripts ¹²³ for digits here; source: Microsoft, "Naming Files, Paths, and Namespaces".
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"}
)
_RESERVED_ALIASES: Final = frozenset({"latest", "development", "staging", "production", "archived"})

# This cache is five times as fast as the cache of `re.match`.
_compiled = cache(re.compile)


def matches(pattern: str | re.Pattern[str], text: object) -> re.Match[str] | None:
    """Match a pattern at the beginning of a text; return None if `text` is not a string."""
    return _compiled(pattern).match(text) if isinstance(text, str) else None


def check_model_name(name: str) -> str:
    """Check a model name: 1–128 letters, digits, `.`, `_`, `-`, with a letter or digit first and last.

    Names with `..` and the device names of Windows are refused, because clients create folders with these names.

    >>> check_model_name("eurusd-direction")
    'eurusd-direction'
    """
    if not matches(MODEL_NAME, name) or ".." in name:
        raise RuleViolation(
            Code.INVALID_NAME,
            field="name",
            value=name,
            why="this is not a valid model name",
            remedy="use 1-128 ASCII letters, digits, '.', '_' or '-', with a letter or digit first and last, no '..'",
        )
    return _not_a_device(name, "name")


def check_model_prefix(prefix: str) -> str:
    """Check that a prefix can be the beginning of a model name."""
    if not matches(MODEL_PREFIX, prefix):
        raise RuleViolation(
            Code.INVALID_NAME,
            field="prefix",
            value=prefix,
            why="a model name cannot begin with this text",
            remedy="use 1-128 ASCII letters, digits, '.', '_' or '-', beginning with a letter or digit",
        )
    return prefix


def check_alias(alias: str) -> str:
    """Check an alias: 1–64 lower-case letters, digits, `_`, `-`; `latest`, stage names and `v<digits>` are reserved."""
    if not matches(ALIAS_NAME, alias):
        raise RuleViolation(
            Code.INVALID_NAME,
            field="alias",
            value=alias,
            why="this is not a valid alias",
            remedy="use 1-64 lower-case letters, digits, '_' or '-', with a letter first and a letter or digit last",
        )
    if alias in _RESERVED_ALIASES or re.match(r"^v\d+$", alias):
        raise RuleViolation(
            Code.RESERVED_NAME,
            field="alias",
            value=alias,
            why="this word already has another meaning in references",
            remedy="choose another word, such as 'champion' or 'shadow'",
        )
    return alias


def check_new_alias(alias: str) -> str:
    """Check the name of a new alias; unlike `check_alias`, also refuse device names of Windows, such as `con`."""
    return _not_a_device(check_alias(alias), "alias")


def check_principal_name(name: str) -> str:
    """Check a principal name: 1–64 lower-case letters, digits, `.`, `_`, `-`."""
    if not matches(PRINCIPAL_NAME, name):
        raise RuleViolation(
            Code.INVALID_NAME,
            field="name",
            value=name,
            why="this is not a valid principal name",
            remedy="use 1-64 lower-case letters, digits, '.', '_' or '-', beginning and ending with a letter or digit",
        )
    return name


def check_new_principal_name(name: str) -> str:
    """Check a new principal name; unlike `check_principal_name`, also refuse device names of Windows, such as `con`."""
    return _not_a_device(check_principal_name(name), "name")


def check_token_id(token_id: str) -> str:
    """Check the id of a token: 16 lower-case hexadecimal digits."""
    if not matches(TOKEN_ID, token_id):
        raise RuleViolation(
            Code.INVALID_NAME,
            field="id",
            # A secret pasted by mistake must not appear in logs.
            value="mrg_… (the secret is hidden)" if str(token_id).startswith("mrg_") else token_id,
            why="this is not the id of a token",
            remedy="send the 16 lower-case hexadecimal digits from the list of tokens; never send the secret itself",
        )
    return token_id


def check_keys(field: str, mapping: Iterable[str], limit: int = MAX_ENTRIES) -> None:
    """Check that there are at most `limit` keys, and that each key has 1–128 letters, digits or `._/@-`."""
    keys = list(mapping)
    if len(keys) > limit:
        raise RuleViolation(
            Code.TOO_MANY_ENTRIES,
            field=field,
            value=len(keys),
            why=f"there are more than {limit} entries",
            remedy="store the other entries in a file of the version",
        )
    for key in keys:
        if not matches(KEY, key) or ".." in key:
            raise RuleViolation(
                Code.INVALID_NAME,
                field=field,
                value=key,
                why="this is not a valid key",
                remedy="use 1-128 ASCII letters, digits, '._/@-', with a letter, digit or '_' first and last, no '..'",
            )


def check_tags(tags: Mapping[str, str]) -> None:
    """Check tags: at most 64 pairs of a key and a printable text of at most 256 characters."""
    check_keys("tags", tags, limit=MAX_TAGS)
    for key, value in tags.items():
        for segment in key.split("/"):
            _not_a_device(segment, "tags")
        if len(value) > SHORT_TEXT_LENGTH or not value.isprintable():
            raise RuleViolation(
                Code.INVALID_TAG,
                field=f"tags.{key}",
                value=value,
                why="this is not a valid tag value",
                remedy=f"use at most {SHORT_TEXT_LENGTH} printable characters on one line",
            )


def is_visible(text: str) -> bool:
    """Return whether a text contains a visible character.

    >>> is_visible("better"), is_visible(" ")
    (True, False)
    """
    return any(unicodedata.category(sign)[0] in "LNPS" and sign not in _BLANK for sign in text)


def check_text(field: str, text: str, limit: int) -> str:
    """Check a text: at most `limit` characters, no lone surrogates, no control characters except newline and tab."""
    if len(text) > limit:
        raise RuleViolation(
            Code.TEXT_TOO_LONG,
            field=field,
            value=f"{text[:40]}… ({len(text)} characters)",
            why=f"the text is longer than {limit} characters",
            remedy="shorten the text",
        )
    if forbidden := _CONTROL.search(text):
        raise RuleViolation(
            Code.INVALID_TEXT,
            field=field,
            value=forbidden[0],
            why="the text contains this control character or lone surrogate",
            remedy="remove this character from the text",
        )
    return text


def check_artifact_path(path: str) -> str:
    """Check an artifact path: relative, ASCII, with at most 16 segments and 512 bytes.

    Only ASCII is allowed, because other characters can look alike. Every system must be able to store the files, so a
    segment cannot begin or end with a space or a dot, and cannot be a device name of Windows.

    >>> check_artifact_path("weights/layer-1.safetensors")
    'weights/layer-1.safetensors'
    """
    segments = path.split("/") if matches("", path) else [""]
    fits = len(segments) <= _MAX_SEGMENTS and all(_SEGMENT.match(segment) for segment in segments)
    if not fits or len(path) > PATH_LENGTH:
        raise RuleViolation(
            Code.INVALID_PATH,
            field="path",
            value=path,
            why="this is not a valid artifact path",
            remedy=f"use a relative path of at most {_MAX_SEGMENTS} segments and {PATH_LENGTH} bytes, joined by '/', "
            "of ASCII letters, digits, spaces and '._+=@,()[]-', where no segment begins or ends with a dot or space",
        )
    for segment in segments:
        _not_a_device(segment, "path")
    return path


def check_sha256(digest: str) -> str:
    """Check a SHA-256 digest: 64 lower-case hexadecimal digits."""
    if not matches(SHA256, digest):
        raise RuleViolation(
            Code.INVALID_DIGEST,
            field="sha256",
            value=digest,
            why="this is not a SHA-256 digest",
            remedy="send 64 lower-case hexadecimal digits",
        )
    return digest


def check_idempotency_key(key: str) -> str:
    """Check an idempotency key: 8–128 letters, digits, `_` and `-`, such as a random UUID."""
    if not matches(IDEMPOTENCY_KEY, key):
        raise RuleViolation(
            Code.INVALID_IDEMPOTENCY_KEY,
            field="Idempotency-Key",
            value=key,
            why="this is not a valid idempotency key",
            remedy="use 8-128 letters, digits, '_' or '-', such as a random UUID",
        )
    return key


def _not_a_device(name: str, field: str) -> str:
    # Windows looks only at the part before the first dot or colon, and ignores spaces at its end.
    if name.partition(".")[0].partition(":")[0].rstrip(" ").lower() in _DEVICES:
        raise RuleViolation(
            Code.RESERVED_NAME,
            field=field,
            value=name,
            why="Windows reserves this name for a device",
            remedy="choose another name",
        )
    return name
