"""Ways to change a valid case: bytes, texts, JSON values and numbers."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

NUMBERS: Final[tuple[Any, ...]] = (
    *(-1, 0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53),
    *(2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, 10**30, -(10**30)),
)
FLOATS: Final = (0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
TEXTS: Final = (
    *("", " ", "\x00", "\n", "\r\n", "\u202e", "\u2028", "\ud800", "\ufeff", "é", "e\u0301", "İ", "ﬀ", "🙂"),
    *(
        "-1",
        "0",
        "1e999999",
        "nan",
        "null",
        "..",
        "../../etc/passwd",
        "/dev/zero",
        "%00",
        "%2e%2e",
        "a" * 300,
        "nul.txt",
    ),
    *("'", '"', "\\", "<script>", "${x}", "{{x}}", ";", ",", "=", ":", "/", "#", "?", "*"),
)
_PIECES: Final = (b"\x00", b"\xff", b"\x80", b"\n", b"\r\n", b"PK\x03\x04", b"\xff" * 8, b"\x00" * 8, b"[" * 64)


def any_bytes(chance: random.Random, case: bytes) -> bytes:
    """Cut, repeat, exchange, insert or flip bytes, once or a few times."""
    made = bytearray(case)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_OF_BYTES)(chance, made)
    return bytes(made)


def any_text(chance: random.Random, case: str) -> str:
    """Cut, repeat, exchange or insert characters, once or a few times."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        start = chance.randint(0, len(case))
        end = chance.choice((start, start + 1, chance.randint(start, len(case)), len(case)))
        piece = chance.choice(("", chr(chance.randrange(256)), chance.choice(TEXTS), case[start:end] * 2))
        case = case[:start] + piece + case[end:]
    return case


def any_json(chance: random.Random, case: Any) -> Any:
    """Change values, keys and lengths anywhere in a copy of a JSON value."""
    made = json.loads(json.dumps(case))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(made))
        if not places:
            return any_value(chance)
        holder, key = chance.choice(places)
        _change(chance, holder, key)
    return made


def any_value(chance: random.Random) -> Any:
    """Draw a JSON value at a boundary."""
    kind = chance.randrange(7)
    simple = (chance.choice(NUMBERS), chance.choice(FLOATS), chance.choice(TEXTS), chance.choice((None, True, False)))
    if kind < len(simple):
        return simple[kind]
    return chance.choice(([], {}, [[]], {"": {}}, [simple[0]] * 3, {"a": simple[1]}))


def one_of(*ways: Callable[[random.Random, Any], Any]) -> Callable[[random.Random, Any], Any]:
    """Combine several ways to change a case; each case draws one of them."""
    return lambda chance, case: chance.choice(ways)(chance, case)


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    pending = [value] if isinstance(value, dict | list) else []
    while pending:
        holder = pending.pop()
        keys: Iterable[Any] = list(holder) if isinstance(holder, dict) else range(len(holder))
        found += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    return found


def _change(chance: random.Random, holder: Any, key: Any) -> None:
    way = chance.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1:
        _repeat(chance, holder, key)
    elif way == 2 and isinstance(holder, dict):
        holder[chance.choice((*holder, *TEXTS))] = holder.pop(key)
    elif way == 3 and isinstance(holder, list):
        chance.shuffle(holder)
    else:
        holder[key] = near(chance, holder[key])


def near(chance: random.Random, value: Any) -> Any:
    """Change a number, or a text with a number, a little or to a bound; replace any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return any_value(chance)
    if isinstance(value, str):
        if chance.random() < 0.5 and value.isascii() and value.strip("-").replace(".", "", 1).isdigit():
            return str(near(chance, int(float(value))))
        return any_text(chance, value)
    if chance.random() < 0.4:
        return value + chance.choice((-1, 1, 0.5, -value, value))
    return chance.choice((*NUMBERS, *FLOATS, any_value(chance)))


def _repeat(chance: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder[key:key] = [holder[key]] * chance.choice((1, 2, 100))
    else:
        holder[f"{key}{chance.randrange(3)}"] = holder[key]


def _flip(chance: random.Random, made: bytearray) -> None:
    if made:
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)


def _digit(chance: random.Random, made: bytearray) -> None:
    digits = [place for place, byte in enumerate(made[:20_000]) if 48 <= byte < 58]
    if digits:
        made[chance.choice(digits)] = 48 + chance.randrange(10)


def _cut(chance: random.Random, made: bytearray) -> None:
    start = chance.randint(0, len(made))
    del made[start : start + chance.choice((1, 2, 8, len(made)))]


def _insert(chance: random.Random, made: bytearray) -> None:
    place = chance.randint(0, len(made))
    made[place:place] = chance.choice((*_PIECES, chance.randbytes(chance.choice((1, 4, 16)))))


def _copy(chance: random.Random, made: bytearray) -> None:
    start, place = chance.randint(0, len(made)), chance.randint(0, len(made))
    made[place:place] = made[start : start + chance.choice((1, 8, 64))]


def _overwrite(chance: random.Random, made: bytearray) -> None:
    size = chance.choice((1, 2, 4, 8))
    if len(made) >= size:
        place = chance.randint(0, len(made) - size)
        number = chance.choice(NUMBERS) % (1 << 8 * size)
        made[place : place + size] = number.to_bytes(size, chance.choice(("little", "big")))


_OF_BYTES: Final = (_flip, _flip, _digit, _cut, _insert, _copy, _overwrite, _overwrite)
