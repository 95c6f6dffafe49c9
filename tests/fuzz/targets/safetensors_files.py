"""Safetensors files: offsets, shapes and types in the header, and its length."""

import json
import random
import struct
from typing import Any, Final

import numpy as np

from common_lib.errors import LoadRefused
from tests.fuzz.boosters import module
from tests.fuzz.child import in_child
from tests.fuzz.harness import Target
from tests.fuzz.loading import checks, loads
from tests.fuzz.mutators import NUMBERS, any_bytes, any_json, one_of

_TYPES: Final = ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "U64", "BOOL", "F8_E4M3", "C64", "F4", "")


def use(content: bytes) -> None:
    """Load the arrays and read all of their numbers."""
    for array in loads("safetensors")(content).values():
        array.copy().sum()


def _seeds() -> list[bytes]:
    save = module("safetensors.numpy").save
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.ones(3, np.int64),
        "c": np.zeros((0, 2), np.int8),
    }
    return [save(arrays), save({"only": np.ones(())}), save(arrays, metadata={"made": "here"})]


def _header(chance: random.Random, case: bytes) -> bytes:
    (length,) = struct.unpack("<Q", case[:8])
    header = json.loads(case[8 : 8 + length])
    tensor = header[chance.choice([name for name in header if name != "__metadata__"])]
    way = chance.randrange(6)
    if way == 0:
        tensor["dtype"] = chance.choice(_TYPES)
    elif way == 1:
        tensor["data_offsets"][chance.randrange(2)] = chance.choice((*NUMBERS, 8, 24))
    elif way == 2:
        tensor["shape"] = chance.choice(([], [0], [2**63, 2], [2**32, 2**32], [3, 2], [-1], [1] * 70, [0, 2**63]))
    elif way == 3:
        header[chance.choice("abz")] = dict(chance.choice(list(header.values())))
    else:
        header = any_json(chance, header)
    return packed(header, case[8 + length :], chance)


def packed(header: Any, data: bytes, chance: random.Random) -> bytes:
    """Build a file, sometimes with a wrong header length."""
    text = json.dumps(header).encode()
    length = len(text) if chance.random() < 0.9 else len(text) + chance.choice((-1, 1, 8, 2**31, 2**62))
    return struct.pack("<Q", length) + text + data


TARGETS: Final = [
    Target(
        name="load-safetensors",
        seeds=_seeds,
        mutate=one_of(any_bytes, _header, _header),
        runner=in_child(checks("safetensors"), f"{__name__}:use", warm=lambda: _seeds()[0]),
        refusals=(LoadRefused,),
    )
]
