"""Script that draws docs/lifecycle.svg from the table of moves: `python docs/draw.py`; a test compares the two."""

from itertools import groupby
from math import hypot
from pathlib import Path
from typing import Final

from common_lib.rules.lifecycle import MOVES, ModelStage, Move

FILE: Final = Path(__file__).with_name("lifecycle.svg")
_WIDTH, _HEIGHT = 150, 44
_PLACES: Final = {
    ModelStage.DEVELOPMENT: (110, 50),
    ModelStage.STAGING: (400, 50),
    ModelStage.PRODUCTION: (690, 50),
    ModelStage.ARCHIVED: (400, 250),
}
_APART: Final = 11
_LINE: Final = 15
_HEAD: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 290" font-family="sans-serif" font-size="13">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0,0 L8,4 L0,8 z"/></marker></defs>
<rect width="800" height="290" fill="#fff"/>"""


def draw() -> str:
    """Return the picture as SVG: a box for each stage, and an arrow between two stages with the names of its moves."""
    ways = groupby(sorted(MOVES, key=_way), key=_way)
    arrows = [_arrow(*way, [move.name for move in moves]) for way, moves in ways]
    return "\n".join([_HEAD, *arrows, *map(_box, _PLACES), "</svg>", ""])


def _way(move: Move) -> tuple[ModelStage, ModelStage]:
    return move.source, move.target


def _box(stage: ModelStage) -> str:
    x, y = _PLACES[stage]
    frame = f'<rect x="{x - _WIDTH // 2}" y="{y - _HEIGHT // 2}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"'
    name = f'<text x="{x}" y="{y + 5}" text-anchor="middle">{stage}</text>'
    return f'{frame} fill="#eef3fb" stroke="#335"/>{name}'


def _arrow(source: ModelStage, target: ModelStage, names: list[str]) -> str:
    (x, y), (to_x, to_y) = _PLACES[source], _PLACES[target]
    length = hypot(to_x - x, to_y - y)
    across, down = (to_x - x) / length, (to_y - y) / length
    # Each arrow is shifted to its right, because two opposite arrows must not overlap.
    side_x, side_y = -down * _APART, across * _APART
    inside = min(_WIDTH / 2 / abs(across) if across else length, _HEIGHT / 2 / abs(down) if down else length)
    ends = [(x + across * inside, y + down * inside), (to_x - across * inside, to_y - down * inside)]
    (x1, y1), (x2, y2) = [(px + side_x, py + side_y) for px, py in ends]
    line = f'<path d="M{x1:.0f},{y1:.0f} L{x2:.0f},{y2:.0f}" stroke="#335" fill="none" marker-end="url(#tip)"/>'
    anchor = "middle" if not down else "start" if side_x > 0 else "end"
    return line + _label((x1 + x2) / 2 + side_x, (y1 + y2) / 2 + side_y, names, anchor)


def _label(x: float, y: float, names: list[str], anchor: str) -> str:
    first = y - _LINE * (len(names) - 1) / 2 + (8 if anchor == "middle" else 4)
    lines = [f'<tspan x="{x:.0f}" y="{first + _LINE * row:.0f}">{name}</tspan>' for row, name in enumerate(names)]
    return f'<text text-anchor="{anchor}" fill="#335">{"".join(lines)}</text>'


if __name__ == "__main__":
    FILE.write_text(draw(), "utf-8")
