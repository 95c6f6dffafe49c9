"""Skops archives of linear models and pipelines: their schema, their arrays, and the archive itself."""

import io
import json
import random
import zipfile
from functools import cache
from typing import Any, Final

import numpy as np

from common_lib.errors import LoadRefused
from tests.fuzz.boosters import MIXED, X, Y, module
from tests.fuzz.child import in_child
from tests.fuzz.harness import Target
from tests.fuzz.loading import checks, loads
from tests.fuzz.mutators import NUMBERS, any_bytes, any_json, one_of


def use(content: bytes) -> None:
    """Load an estimator and let it predict; ignore an error caused by its numbers."""
    model = loads("skops")(content)
    for rows in (X[:3], MIXED[:3]):
        try:
            model.predict(rows)
        except (ValueError, TypeError, AttributeError, IndexError, KeyError):
            continue


@cache
def _seeds() -> list[bytes]:
    module("skops")
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: PLC0415
    from skops.io import dumps  # noqa: PLC0415

    models: list[Any] = [
        Ridge().fit(X, Y),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()).fit(MIXED[:, 3:], Y),
        GaussianNB().fit(X, Y),
    ]
    return [dumps(model) for model in models]


def _archive(chance: random.Random, case: bytes) -> bytes:
    """Change the schema, an array, or the structure of the archive."""
    with zipfile.ZipFile(io.BytesIO(case)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = chance.randrange(6)
    arrays = sorted(name for name in members if name.endswith(".npy"))
    if way < 3:
        members["schema.json"] = json.dumps(_schema(chance, json.loads(members["schema.json"]), arrays)).encode()
    elif way == 3 and arrays:
        name = chance.choice(arrays)
        members[name] = chance.choice(
            (any_bytes(chance, members[name]), members[chance.choice(arrays)], _array(chance))
        )
    elif way == 4:
        members.pop(chance.choice(sorted(members)))
    else:
        members[chance.choice((*sorted(members), "more.npy"))] = _array(chance)
    made = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _schema(chance: random.Random, schema: Any, arrays: list[str]) -> Any:
    if chance.random() < 0.5:
        return any_json(chance, schema)
    nodes = [node for node in _nodes(schema) if "__loader__" in node]
    one, other = chance.choice(nodes), chance.choice(nodes)
    way = chance.randrange(4)
    if way == 0:
        one["__loader__"] = other["__loader__"]
    elif way == 1:
        one["__id__"] = other.get("__id__")
    elif way == 2 and arrays:
        one["file"] = chance.choice(arrays)
    else:
        copied = json.loads(json.dumps(other))
        one.clear()
        one.update(copied)
    return schema


def _nodes(value: Any) -> list[dict[str, Any]]:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) else []
    return own + [node for one in below for node in _nodes(one)]


def _array(chance: random.Random) -> bytes:
    """Write an array whose header may have another shape or type than its bytes."""
    made = io.BytesIO()
    np.save(made, np.ones(chance.choice(((), (1,), (3,), (2, 3), (0,)))))
    kinds = (b"<f8", b"|O", b"<U9", b"|V0", b"<f4", b">i2", b"|b1")
    content = made.getvalue().replace(b"<f8", chance.choice(kinds), 1)
    return content.replace(b"(3,)", f"({chance.choice(NUMBERS)},)".encode(), 1) if chance.random() < 0.5 else content


TARGETS: Final = [
    Target(
        name="load-skops",
        seeds=_seeds,
        mutate=one_of(any_bytes, _archive, _archive, _archive),
        runner=in_child(checks("skops"), f"{__name__}:use", warm=lambda: _seeds()[0]),
        refusals=(LoadRefused,),
    )
]
