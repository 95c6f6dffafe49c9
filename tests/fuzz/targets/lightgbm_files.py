"""LightGBM boosters as text: those that pass the check are loaded and used in a child process."""

import random
from typing import Any, Final

import numpy as np

from common_lib.errors import LoadRefused
from tests.fuzz.boosters import lightgbm_models, module
from tests.fuzz.child import in_child
from tests.fuzz.harness import Target
from tests.fuzz.loading import checks, loads
from tests.fuzz.mutators import NUMBERS, any_bytes, any_text, one_of

_ROWS: Final = np.random.default_rng(3).integers(-1, 6, (5, 64)).astype(np.float64)
_ROWS[2] = np.nan


def use(content: bytes) -> None:
    """Load a booster and call all functions that walk its trees."""
    booster = loads("lightgbm")(content)
    columns = booster.num_feature()
    if columns > _ROWS.shape[1]:
        return
    rows = _ROWS[:, :columns]
    for options in ({}, {"raw_score": True}, {"pred_leaf": True}, {"pred_contrib": True}):
        _tried(lambda options=options: booster.predict(rows, num_threads=1, **options))
    _tried(booster.dump_model)
    _tried(booster.model_to_string)
    _tried(lambda: booster.feature_importance("gain"))


def _tried(act: Any) -> None:
    """Call a function and ignore an error of the library; only the end of the process is a failure."""
    try:
        act()
    except (module("lightgbm").basic.LightGBMError, ValueError):
        return


def change_line(chance: random.Random, case: bytes) -> bytes:
    """Change a number or the length of a line that native code follows, and correct the sizes of the trees."""
    head, _, rest = case.decode().partition("\n\n")
    end = rest.index("end of trees")
    trees, tail = rest[:end].split("\n\n\n"), rest[end:]
    place = chance.randrange(len(trees) + 1)
    if place == len(trees) or not trees[place]:
        head = _changed(chance, head)
    else:
        trees[place] = _changed(chance, trees[place])
    blocks = [tree + "\n\n\n" for tree in trees if tree]
    lines = head.split("\n")
    if chance.random() < 0.9:
        sizes = " ".join(str(len(block.encode("utf-8", "replace"))) for block in blocks)
        lines = [f"tree_sizes={sizes}" if line.startswith("tree_sizes=") else line for line in lines]
    return ("\n".join(lines) + "\n\n" + "".join(blocks) + tail).encode("utf-8", "replace")


def _changed(chance: random.Random, block: str) -> str:
    lines = block.split("\n")
    number = chance.randrange(len(lines))
    key, equals, value = lines[number].partition("=")
    parts = value.split(" ")
    place, way = chance.randrange(len(parts)), chance.randrange(8)
    if way == 0:
        del lines[number]
        return "\n".join(lines)
    if way == 1:
        lines.insert(number, lines[number])
        return "\n".join(lines)
    if way == 2:
        parts.insert(place, parts[place])
    elif way == 3:
        del parts[place]
    elif way == 4:
        parts[place] = any_text(chance, parts[place])
    elif way == 5:
        parts[place] = str(chance.choice(parts))
    else:
        parts[place] = str(chance.choice((*NUMBERS, len(parts), -len(parts), 3, -2)))
    lines[number] = key + equals + " ".join(parts)
    return "\n".join(lines)


TARGETS: Final = [
    Target(
        name="load-lightgbm",
        seeds=lightgbm_models,
        mutate=one_of(any_bytes, change_line, change_line, change_line),
        runner=in_child(checks("lightgbm"), f"{__name__}:use", warm=lambda: lightgbm_models()[0]),
        refusals=(LoadRefused,),
    )
]
