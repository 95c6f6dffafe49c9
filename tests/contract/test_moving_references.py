"""The meaning of each selector for each state of its version: on the short path and in the handler, on both engines."""

import uuid
from collections.abc import Iterator

import pytest

from common_lib import HttpRegistry
from common_lib.rules.lifecycle import OnRecall
from common_lib.types.policies import PromotionRules
from tests.security.worlds import World, open_world, problem
from tests.support.steps import version_of

SELECTORS = ["production", "staging", "development", "archived", "latest", "@champion", "@shadow", "@absent"]
NUMBERS = [str(number) for number in range(1, 8)]
# Versions 1 and 2 were in production before 3; 4 and 5 are in staging, 6 and 7 in development.
STAGES = {1: "archived", 2: "archived", 3: "production", 4: "staging", 5: "staging", 6: "development", 7: "development"}
ALIASES = {"@champion": 3, "@shadow": 5}
RECALLED: list[set[int]] = [set(), {3}, {2, 3}, {1, 2, 3}, {5}, {4, 5}, {7}, {6, 7}, {2}, {3, 5, 7}, set(STAGES)]


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry on each engine."""
    with open_world(request) as this:
        yield this


@pytest.fixture
def registry(world: World) -> Iterator[HttpRegistry]:
    """Provide a registry client of the admin."""
    with world.backend.registry() as this:
        yield this


def create_example_model(registry: HttpRegistry, rule: OnRecall) -> str:
    """Create a model with seven versions, two aliases and that policy; return its name."""
    name = f"moving-{uuid.uuid4().hex[:8]}"
    registry.models.create(name, "regression")
    registry.policies.put(name, PromotionRules(on_recall=rule), reason="as decided", force=True)
    for number in STAGES:
        version_of(registry, name)
        if number <= 5:
            registry.versions.transition(name, number, "staging", revision=1)
        if number <= 3:
            registry.production.promote(name, number, reason="better", force=True)
    for alias, number in ALIASES.items():
        registry.aliases.create(name, alias[1:], number)
    return name


def meant(selector: str, rule: OnRecall, recalled: set[int], gone: set[int]) -> int | str:
    """Return the version number that a selector resolves to, or the code of the error."""
    fixed = int(selector) if selector.isdigit() else ALIASES.get(selector)
    if fixed is not None:
        if fixed in gone:
            return "version_not_found"
        return "version_recalled" if fixed in recalled else fixed
    if selector.startswith("@"):
        return "version_not_found"
    found = [number for number, stage in STAGES.items() if number not in gone and selector in {stage, "latest"}]
    if not found:
        return "version_not_found"
    if found[-1] not in recalled:
        return found[-1]
    if selector == "production":
        found = [number for number in (1, 2) if number not in gone]
    usable = [number for number in found if number not in recalled]
    return usable[-1] if usable and rule is OnRecall.SKIP else "version_recalled"


def resolved(world: World, name: str, selector: str) -> list[int | str]:
    """Resolve on the short path and in the handler, which also decodes escapes; return both answers."""
    escaped = f"%{ord(selector[0]):02X}{selector[1:]}"
    found: list[int | str] = []
    for spelling in (selector, escaped):
        answer = world.send("GET", f"/v1/models/{name}/resolve/{spelling}")
        found.append(answer.json()["version"] if answer.is_success else problem(answer)["code"])
    return found


@pytest.mark.parametrize("rule", list(OnRecall))
def test_each_selector_resolves_in_each_state_as_specified(
    world: World, registry: HttpRegistry, rule: OnRecall
) -> None:
    """Under `skip`, stages and `latest` move on; numbers and aliases never do, and no case is a server error."""
    name = create_example_model(registry, rule)
    for recalled in RECALLED:
        for number in sorted(recalled):
            registry.versions.recall(name, number, reason="leak", force=True)
        _check(world, name, rule, recalled, set())
        for number in sorted(recalled):
            registry.versions.reinstate(name, number, reason="no leak", force=True)
    gone = {2, 7}
    for number in gone:
        registry.versions.tombstone(name, number, reason="gone", force=True)
    for recalled in (set(), {3}, {1, 3}, {6}):
        for number in sorted(recalled):
            registry.versions.recall(name, number, reason="leak", force=True)
        _check(world, name, rule, recalled, gone)
        for number in sorted(recalled):
            registry.versions.reinstate(name, number, reason="no leak", force=True)


def _check(world: World, name: str, rule: OnRecall, recalled: set[int], gone: set[int]) -> None:
    for selector in (*SELECTORS, *NUMBERS, "8"):
        wanted: int | str = "version_not_found" if selector == "8" else meant(selector, rule, recalled, gone)
        answers = resolved(world, name, selector)
        assert answers == [wanted, wanted], f"{selector} under {rule}, recalled {recalled}, tombstoned {gone}"


@pytest.mark.parametrize("rule", list(OnRecall))
def test_a_tombstoned_model_resolves_to_no_version(world: World, registry: HttpRegistry, rule: OnRecall) -> None:
    """For every selector, recalled or not."""
    name = create_example_model(registry, rule)
    registry.versions.recall(name, 5, reason="leak", force=True)
    registry.versions.transition(name, 3, "archived", reason="the end", force=True)
    registry.models.tombstone(name, reason="over", force=True)
    for selector in (*SELECTORS, *NUMBERS):
        assert resolved(world, name, selector) == ["version_not_found"] * 2, selector


@pytest.mark.parametrize("rule", list(OnRecall))
def test_an_invalid_selector_has_its_own_error_code(world: World, registry: HttpRegistry, rule: OnRecall) -> None:
    """Under `skip` as under `refuse`."""
    name = create_example_model(registry, rule)
    registry.versions.recall(name, 3, reason="leak", force=True)
    codes = {"invalid_reference", "invalid_name", "reserved_name", "version_not_found", "not_found"}
    for selector in ("Production", "@", "@@champion", "v1", "01", "0", "-1", "1.0", "@latest", "best"):
        assert set(resolved(world, name, selector)) <= codes, selector
