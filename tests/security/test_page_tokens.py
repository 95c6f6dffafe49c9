"""Page tokens: a damaged or forged token never returns another page, on both engines."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from registry_server.core import pages
from registry_server.domain.errors import NumberBeyond64Bits
from registry_server.domain.models import ModelFilter
from registry_server.domain.pages import Order
from registry_server.domain.versions import VersionFilter
from tests.security.worlds import MODEL, World, assert_unchanged, open_world, problem

LISTS = {
    "/v1/models?limit=1": ("models", ModelFilter(), Order.NAME),
    "/v1/models?limit=1&order=-created_at": ("models", ModelFilter(), Order.CREATED_DOWN),
    f"/v1/models/{MODEL}/versions?limit=1": ("versions", MODEL, VersionFilter(), Order.VERSION_DOWN),
    f"/v1/models/{MODEL}/versions?limit=1&order=version": ("versions", MODEL, VersionFilter(), Order.VERSION),
    f"/v1/models/{MODEL}/history?limit=1": ("decisions", MODEL),
    "/v1/principals?limit=1": ("principals",),
    "/v1/tokens?limit=1": ("tokens",),
}


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with more than one page of each list."""
    with open_world(request) as this:
        with this.backend.registry() as registry:
            registry.models.create("gbpusd-direction", "regression")
            registry.principals.create("analyst", "human", [])
            registry.principals.issue_token("analyst")
            registry.versions.transition(MODEL, 1, "staging", revision=1)
            registry.versions.transition(MODEL, 1, "archived", reason="old", revision=2)
        yield this


@pytest.mark.parametrize("listed", LISTS)
def test_a_page_token_with_a_flipped_bit_is_refused(world: World, listed: str) -> None:
    """The server detects every single flipped bit of a token."""
    token = world.send("GET", listed).json()["next_page_token"]
    assert world.send("GET", f"{listed}&page_token={token}").status_code == 200
    with assert_unchanged(world):
        for place, bit in ((place, bit) for place in range(len(token)) for bit in range(7)):
            flipped = token[:place] + chr(ord(token[place]) ^ 1 << bit) + token[place + 1 :]
            answer = world.send("GET", f"{listed}&page_token={quote(flipped, safe='')}")
            assert (answer.status_code, problem(answer)["code"]) == (422, "invalid_page_token"), flipped


@pytest.mark.parametrize("change", ["", "=", "A", "%0A", "%20", "."])
def test_a_page_token_has_only_one_spelling(world: World, change: str) -> None:
    """The server refuses other Base64 spellings of the same bytes."""
    token = world.send("GET", "/v1/models?limit=1").json()["next_page_token"]
    others = [token + change, change + token] if change else [token[:-1], token.replace("-", "+"), token[1:]]
    for other in set(others) - {token}:
        answer = world.send("GET", f"/v1/models?limit=1&page_token={other}")
        assert (answer.status_code, problem(answer)["code"]) == (422, "invalid_page_token"), other


def test_a_page_token_belongs_to_its_list(world: World) -> None:
    """A token is invalid for other filters, another order and other lists, where it would skip or repeat rows."""
    tokens = {listed: world.send("GET", listed).json()["next_page_token"] for listed in LISTS}
    others = ["/v1/models?limit=1&owner=admin", "/v1/models?limit=1&order=-name", "/v1/models?limit=1&tombstoned=true"]
    with assert_unchanged(world):
        for own, token in tokens.items():
            for listed in (*LISTS, *others):
                answer = world.send("GET", f"{listed}&page_token={token}")
                assert answer.status_code == (200 if listed == own else 422)


@pytest.mark.parametrize(
    "place",
    [
        *(
            "null",
            "{}",
            "[]",
            "{",
            '["a"',
            "[null]",
            "[true]",
            "[0]",
            "[-1]",
            "[1.5]",
            "[1e400]",
            '[["a"]]',
            '["a","b"]',
        ),
        *("[1,2,3]", '["\\u0000"]', '[1,"\\u0000"]', '["a\'; drop table models"]', '[""]', '["\\ud800"]', '["A\\n"]'),
        *(f"[{2**31}]", f"[{2**63}]", f'[{2**63},"a"]', f'[{-(2**63) - 1},"a"]', f"[{'9' * 5_000}]"),
        *("[NaN]", "[-0.0]", f"[{2**63}.0]", f"[{-(2**63) - 1}]", f"[{2**64}]", '[{"a":1}]', "1", '"1"', " "),
    ],
)
@pytest.mark.parametrize("listed", LISTS)
def test_a_forged_page_token_is_refused(world: World, listed: str, place: str) -> None:
    """The checksum is not secret, so the server checks the contents of a token like any other input."""
    token = pages._encode(place.encode() + pages._checksum(place.encode(), LISTS[listed]))
    with assert_unchanged(world):
        answer = world.send("GET", f"{listed}&page_token={token}")
    if "history" in listed and place in {"[0]", f"[{2**31}]"}:
        # These positions of the log are possible; a caller that forges one sees only what it may read.
        assert answer.status_code == 200
        return
    assert (answer.status_code, problem(answer)["code"]) == (422, "invalid_page_token")


@pytest.mark.parametrize("listed", LISTS)
def test_pages_of_one_make_the_whole_list(world: World, listed: str) -> None:
    """Pages of one row return all rows in order, each row once."""
    found, token = [], None
    while token is not None or not found:
        page = world.send("GET", listed + (f"&page_token={token}" if token else "")).json()
        found += page["items"]
        token = page["next_page_token"]
    assert found == world.send("GET", listed.replace("limit=1", "limit=1000")).json()["items"]
    assert len(found) > 1


@pytest.mark.parametrize("length", [1, 10, 5_000])
@pytest.mark.parametrize("letter", ["A", "=", "_", "%00", "%F0%9F%92%A9"])
def test_the_refusal_of_a_long_page_token_is_short(world: World, letter: str, length: int) -> None:
    """A token of any length gets a short problem document."""
    with assert_unchanged(world):
        answer = world.send("GET", f"/v1/tokens?page_token={letter * length}")
    assert (answer.status_code, problem(answer)["code"]) == (422, "invalid_page_token")


def test_a_number_beyond_64_bits_is_refused_by_every_query(world: World) -> None:
    """Each engine translates its own errors where it binds values, for reads and for writes."""
    with assert_unchanged(world):
        for number in (2**63, 2**64, 2**70):
            with pytest.raises(NumberBeyond64Bits, match="more than 64 bits"):
                world.backend._portal.call(world.backend.env.database.read.events.list_after, number, 1)
            with pytest.raises(NumberBeyond64Bits, match="more than 64 bits"):
                world.backend._portal.call(world.backend.env.database.read.versions.find, MODEL, number)
            with pytest.raises(NumberBeyond64Bits, match="more than 64 bits"):
                world.backend._portal.call(
                    world.backend.env.database.write,
                    lambda records, at=number: records.timeline.insert_decision(MODEL, at),
                )
