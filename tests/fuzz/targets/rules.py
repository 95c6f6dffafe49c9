"""The pure rules that client and server share: references, names, times, manifests, canonical JSON."""

import json
import random
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter

from common_lib.errors import RegistryError
from common_lib.rules import canonical, manifest, names, references
from common_lib.rules.violation import RuleViolation
from common_lib.types.artifacts import FileEntry as UsedEntry
from registry_server.domain.artifacts import FileEntry as ServedEntry
from tests.fuzz.harness import Target, calling
from tests.fuzz.mutators import any_json, any_text, near

_DIGEST: Final = "ab" * 32
_FILES: Final = (
    [{"path": "model.skops", "size": 7, "sha256": _DIGEST, "media_type": "application/octet-stream"}],
    [
        {"path": path, "size": 1, "sha256": _DIGEST, "media_type": "text/plain"}
        for path in ("a/b/c.txt", "a/b/d.txt", "README.md", "weights (1)/x=1.bin")
    ],
)
_SERVED: Final = msgspec.json.Decoder(list[ServedEntry])
_USED: Final = TypeAdapter(list[UsedEntry])
_NAMES: Final = {
    "model": (names.check_model_name, "eurusd-direction"),
    "prefix": (names.check_model_prefix, "eurusd-"),
    "alias": (names.check_alias, "champion"),
    "principal": (names.check_principal_name, "trainer.eu"),
    "path": (names.check_artifact_path, "weights/part-1.bin"),
    "sha256": (names.check_sha256, _DIGEST),
    "token": (names.check_token_id, "0123456789abcdef"),
    "key": (names.check_idempotency_key, "a-key-of-its-own"),
}


def _reference(text: str) -> None:
    parsed = references.parse(text)
    assert references.parse(str(parsed)) == parsed


def _moment(text: str) -> None:
    found = references.parse_moment("as_of", text)
    assert references.parse_moment("as_of", references.format_moment(found)) == found


def _name(case: tuple[str, str]) -> None:
    check, _ = _NAMES[case[0]]
    assert check(case[1]) == case[1], "a name was changed"
    assert case[1].isprintable()
    assert "\n" not in case[1]


def _manifest(case: Any) -> None:
    """Read a manifest as the client and as the server; both must accept it, or both must refuse it."""
    text = json.dumps(case).encode("utf-8", "replace")
    served, used = _read(_SERVED.decode, text), _read(_USED.validate_json, text)
    assert (served is None) == (used is None), f"server: {served}, client: {used}"
    if served is None or used is None:
        raise RuleViolation("invalid_manifest", field="files", value=case, why="is of another type", remedy="")
    files = msgspec.to_builtins(served)
    assert files == [entry.model_dump() for entry in used]
    manifest.check_files(files)
    assert sorted(json.loads(manifest.document(files))["files"], key=_path) == sorted(files, key=_path)
    assert manifest.digest(files[::-1]) == manifest.digest(files)


def _read(decode: Any, text: bytes) -> Any:
    try:
        return decode(text)
    except (RegistryError, RuleViolation, ValueError):  # the errors of pydantic and msgspec are ValueErrors
        return None


def _path(entry: Any) -> Any:
    return entry["path"]


def _canonical(case: Any) -> None:
    encoded = canonical.encode_with_decimals(case)
    assert canonical.with_floats(json.loads(encoded)) == case
    assert canonical.encode_with_decimals(json.loads(encoded)) == encoded


def _of_names(chance: random.Random, case: tuple[str, str]) -> tuple[str, str]:
    return chance.choice((case[0], *_NAMES)), any_text(chance, case[1])


def _target(name: str, seeds: Any, mutate: Any, check: Any, *refusals: type[Exception]) -> Target:
    return Target(
        name=name, seeds=lambda: seeds, mutate=mutate, runner=calling(check), refusals=(RuleViolation, *refusals)
    )


TARGETS: Final = [
    _target(
        "references",
        [
            "models:/eurusd/7",
            "models:/eurusd@champion",
            "models:/eurusd/production",
            "models:/eurusd/latest",
            "models:/eurusd/production?as_of=2026-03-01T00:00:00.25+01:00",
        ],
        any_text,
        _reference,
    ),
    _target("moments", ["2026-03-01T00:00:00Z", "2026-03-01T09:15:00.25+01:00"], any_text, _moment),
    _target("names", [(kind, valid) for kind, (_, valid) in _NAMES.items()], _of_names, _name),
    _target("manifests", list(_FILES), any_json, _manifest),
    _target(
        "canonical-json",
        [{"a": [1, 0.5, None, True, "x"], "b": {"c": -1e-7}}, [[]], {"n": 2**53}],
        lambda chance, case: any_json(chance, case) if chance.random() < 0.8 else near(chance, case),
        _canonical,
        ValueError,
        UnicodeEncodeError,
    ),
]
