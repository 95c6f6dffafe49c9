"""JSON and text files, and files that run code when they are read, of which only the check runs."""

import gzip
import io
import json
import pickle
import zipfile
from typing import Any, Final

from common_lib.errors import LoadRefused
from common_lib.rules import formats
from tests.fuzz.harness import Target, calling
from tests.fuzz.loading import loads
from tests.fuzz.mutators import any_bytes, any_json, one_of

_VALUES: Final = ({"a": [1.5, "x", None, True], "b": {"c": "é"}}, [], "text", 7, [[[[]]]], {"": -1e300})


def _json_trees(chance: Any, case: bytes) -> bytes:
    return json.dumps(any_json(chance, json.loads(case)), ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace")


def _legacy(name: str) -> Target:
    """Check files that can run code, without reading them."""

    def check(content: bytes) -> None:
        reason = formats.BY_NAME[name].fault(content)
        formats.resemblance(content)
        formats.runs_code(content)
        if reason:
            raise LoadRefused(name, why=reason, remedy="")

    return Target(
        name=f"load-{name}",
        seeds=lambda: _LEGACY[name],
        mutate=any_bytes,
        runner=calling(check),
        refusals=(LoadRefused,),
    )


def _torch_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"w": 1}, 2))
        file.writestr("archive/version", "3\n")
    return made.getvalue()


_LEGACY: Final = {
    "pickle": [pickle.dumps(_VALUES, protocol) for protocol in range(6)],
    "joblib": [pickle.dumps(_VALUES), gzip.compress(pickle.dumps(_VALUES), mtime=0)],
    "torch": [_torch_zip()],
}
TARGETS: Final = [
    Target(
        name="load-json",
        seeds=lambda: [json.dumps(value, indent=1).encode() for value in _VALUES],
        mutate=one_of(any_bytes, _json_trees),
        runner=calling(loads("json")),
        refusals=(LoadRefused,),
    ),
    Target(
        name="load-text",
        seeds=lambda: [b"text", "é\r\n🙂".encode(), b""],
        mutate=any_bytes,
        runner=calling(loads("text")),
        refusals=(LoadRefused,),
    ),
    *map(_legacy, _LEGACY),
]
