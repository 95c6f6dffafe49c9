"""Rules of promotion: change windows, signatures, findings, and the comparison of versions."""

import itertools
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_lib.rules import comparison, signatures, windows
from common_lib.rules.comparison import Change, Part
from common_lib.rules.lifecycle import ModelStage, Verdict
from common_lib.rules.promotion import MAX_STARS, Direction, Facts, GivenVerdict, Incumbent, check_rules, judge
from common_lib.rules.violation import RuleViolation
from common_lib.rules.windows import Weekday

WORKDAYS = list(Weekday)[:5]


def hours(since: str = "09:00", until: str = "17:00", days: Any = WORKDAYS) -> Any:
    """Return hours of the week."""
    return {"days": days, "since": since, "until": until}


def opened(*weekly: Any, zone: str = "Europe/Berlin", closed: Any = ()) -> Any:
    """Return change windows."""
    return {"zone": zone, "hours": weekly or (hours(),), "closed": closed}


def berlin(text: str) -> datetime:
    """Return a moment by the clocks of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


class TestWindows:
    @pytest.mark.parametrize(
        ("at", "expected"),
        [
            *(("2026-03-02T09:00", True), ("2026-03-02T08:59:59", False), ("2026-03-02T16:59:59", True)),
            *(("2026-03-02T17:00", False), ("2026-03-01T12:00", False), ("2026-12-24T12:00", False)),
        ],
    )
    def test_a_window_is_open_during_its_hours(self, at: str, expected: object) -> None:
        """From its first minute to its last; neither on other days nor on closed days."""
        assert windows.is_open(opened(closed=["2026-12-24"]), berlin(at)) is expected

    def test_a_window_follows_the_clocks_of_its_zone(self) -> None:
        """In summer it opens an hour earlier in UTC."""
        assert not windows.is_open(opened(), datetime(2026, 3, 2, 7, 30, tzinfo=UTC))
        assert windows.is_open(opened(), datetime(2026, 6, 1, 7, 30, tzinfo=UTC))

    @pytest.mark.parametrize(
        ("at", "opens"),
        [
            ("2026-03-02T08:00", "2026-03-02T09:00"),
            ("2026-03-02T10:00", "2026-03-02T10:00"),
            ("2026-03-06T17:00", "2026-03-09T09:00"),
            ("2026-12-24T08:00", "2026-12-28T09:00"),
        ],
    )
    def test_the_next_opening_is_found(self, at: str, opens: str) -> None:
        """Across weekends and closed days."""
        assert windows.next_opening(opened(closed=["2026-12-24", "2026-12-25"]), berlin(at)) == berlin(opens)

    def test_a_window_that_starts_in_a_skipped_hour_opens_after_it(self) -> None:
        """On 29 March 2026, half past two to half past three begins at three in Berlin."""
        night = opened(hours("02:30", "03:30", [Weekday.SUNDAY]))
        assert windows.next_opening(night, berlin("2026-03-28T12:00")) == berlin("2026-03-29T03:00")

    @pytest.mark.parametrize("until", ["02:30", "02:31"])
    @pytest.mark.parametrize("since", ["01:00", "02:00", "02:15"])
    def test_a_window_in_a_repeated_hour_opens_twice(self, since: str, until: str) -> None:
        """On 25 October 2026 it is 02:00 in Berlin again an hour later, at 01:00 UTC."""
        night = opened(hours(since, until, [Weekday.SUNDAY]))
        quarter = int(since == "02:15") * timedelta(minutes=15)
        again = datetime(2026, 10, 25, 1, 0, tzinfo=UTC) + quarter
        assert windows.next_opening(night, datetime(2026, 10, 25, 0, 45, tzinfo=UTC)) == again

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe"])
    def test_the_next_opening_is_right_around_clock_changes(self, zone: str) -> None:
        """Windows of half an hour and of hours, for each hour of those days, open at the announced time, not before."""
        clocks = [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(8)]
        local, step = ZoneInfo(zone), timedelta(minutes=30)
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        halves = [begin + step * count for count in range(2 * 24 * 365)]
        offsets = [half.astimezone(local).utcoffset() for half in halves]
        jumps = [half for half, one, other in zip(halves, offsets, offsets[1:], strict=False) if one != other]
        assert len(jumps) == 2
        for at in (jump - step * ahead for jump in jumps for ahead in range(-2, 12)):
            for since, until in [*itertools.pairwise(clocks), (clocks[1], clocks[5])]:
                weekly = opened(hours(since, until, list(Weekday)), zone=zone)
                first = next(at + step * ahead for ahead in range(100) if windows.is_open(weekly, at + step * ahead))
                assert windows.next_opening(weekly, at) == first

    def test_a_window_within_a_skipped_hour_opens_a_week_later(self) -> None:
        """On 29 March 2026, 02:30 does not exist in Berlin."""
        night = opened(hours("02:00", "03:00", [Weekday.SUNDAY]))
        assert windows.next_opening(night, berlin("2026-03-28T12:00")) == berlin("2026-04-05T02:00")

    def test_the_next_opening_is_found_after_years_of_closed_days(self) -> None:
        """A weekly window opens after all of its closed days."""
        mondays = [(date(2026, 1, 5) + timedelta(weeks=week)).isoformat() for week in range(366)]
        found = windows.next_opening(opened(hours(days=[Weekday.MONDAY]), closed=mondays), berlin("2026-01-01T00:00"))
        assert found == berlin("2033-01-10T09:00")

    @given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.data())  # noqa: DTZ001
    def test_the_next_opening_is_open_and_no_moment_before_it(self, at: datetime, data: st.DataObject) -> None:
        """For any windows: every quarter of an hour before the next opening is closed."""
        clocks = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
        times = data.draw(st.lists(clocks, min_size=2, max_size=2, unique=True).map(sorted))
        days = data.draw(st.lists(st.sampled_from(Weekday), min_size=1, unique=True))
        zone = data.draw(st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]))
        weekly = opened(hours(*times, days), zone=zone)
        found = windows.next_opening(weekly, at)
        assert found is not None
        assert windows.is_open(weekly, found)
        step = timedelta(minutes=15)
        for ahead in range(min(int((found - at) / step), 200)):
            assert not windows.is_open(weekly, at + ahead * step)

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            (opened(zone="Europe/Atlantis"), "zone"),
            (opened(zone="../etc/passwd"), "zone"),
            (opened(zone=""), "zone"),
            *((opened(zone=zone), "zone") for zone in ("localtime", "Factory", "posixrules", "right/UTC")),
            ({"zone": "UTC", "hours": [], "closed": []}, "hours"),
            (opened(hours(days=[])), "hours[0]"),
            (opened(hours(), hours("17:00", "09:00")), "hours[1]"),
            (opened(hours("09:00", "09:00")), "hours[0]"),
            (opened(closed=["2026-12-24", "2026-02-30"]), "closed[1]"),
        ],
    )
    def test_windows_that_never_open_are_refused(self, wrong: Any, field: str) -> None:
        """The error names the wrong part and what to write instead."""
        with pytest.raises(RuleViolation) as refused:
            windows.check_windows(wrong)
        assert (refused.value.code, refused.value.field) == ("invalid_policy", f"rules.windows.{field}")
        assert refused.value.remedy


def field(name: str, dtype: str = "float64", *shape: int) -> Any:
    """Return one input or output."""
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def signed(inputs: Any, outputs: Any = ()) -> Any:
    """Return a signature."""
    return {"inputs": list(inputs), "outputs": list(outputs)}


class TestSignatures:
    @pytest.mark.parametrize(
        ("new", "old", "expected"),
        [
            (signed([field("a")]), signed([field("a")]), ""),
            (signed([field("a"), field("b")]), signed([field("a")]), "input 'b' is new"),
            (signed([]), signed([field("a")]), "input 'a' is gone"),
            (signed([], [field("y")]), signed([]), ""),
            (signed([]), signed([], [field("y")]), "output 'y' is gone"),
            (signed([field("a", "int8")]), signed([field("a")]), "input 'a' was float64[] and is int8[]"),
            (signed([field("a", "f", -1, 3)]), signed([field("a", "f", 2, 3)]), ""),
            (
                signed([field("a", "f", 2, 3)]),
                signed([field("a", "f", -1, 3)]),
                "input 'a' was f[-1, 3] and is f[2, 3]",
            ),
            (signed([], [field("y", "f", 2)]), signed([], [field("y", "f", -1)]), ""),
            (signed([], [field("y", "f", -1)]), signed([], [field("y", "f", 2)]), "output 'y' was f[2] and is f[-1]"),
            (signed([field("a", "f", 2)]), signed([field("a", "f", 2, 1)]), "input 'a' was f[2, 1] and is f[2]"),
        ],
    )
    def test_compatible_signatures_can_replace_each_other(self, new: Any, old: Any, expected: str) -> None:
        """The new one accepts at least the old lengths, and returns at least the old outputs."""
        assert signatures.find_incompatibility(new, old) == expected


def rules(**some: Any) -> Any:
    """Return the rules of a policy; omitted rules require nothing."""
    nothing = {"metrics": [], "signature": False, "approvals": 0, "tags": {}, "files": [], "windows": None}
    return nothing | some


def metric(direction: Direction, than: float | None = None, tolerance: float = 0.0) -> Any:
    """Return a rule for the metric `m`."""
    return {"metric": "m", "direction": direction, "than": than, "tolerance": tolerance}


def verdict(by: str, verdict: Verdict = Verdict.APPROVED, *, void: bool = False) -> GivenVerdict:
    """Return a verdict of a human."""
    return GivenVerdict(by, verdict, void)


NOTHING = Facts(
    stage=ModelStage.STAGING,
    recalled=False,
    author="trainer",
    metrics={},
    signature=None,
    tags={},
    files=[],
    incumbent=None,
    verdicts=[],
    at=datetime(2026, 3, 2, 12, tzinfo=UTC),
)
FINITE = st.floats(-1e6, 1e6)


class TestJudgement:
    def test_without_rules_only_the_lifecycle_is_checked(self) -> None:
        """The version must be in staging and not recalled."""
        assert [(finding.rule, finding.met) for finding in judge(rules(), NOTHING)] == [
            ("stage", True),
            ("recall", True),
        ]
        other = NOTHING._replace(stage=ModelStage.ARCHIVED, recalled=True)
        assert [finding.met for finding in judge(rules(), other)] == [False, False]

    @given(FINITE, FINITE, st.floats(0, 10))
    def test_a_metric_meets_at_least_or_at_most(self, value: float, bound: float, tolerance: float) -> None:
        """One of the two always holds; the finding has the compared numbers."""
        facts = NOTHING._replace(metrics={"m": value})
        found = {way: judge(rules(metrics=[metric(way, bound, tolerance)]), facts)[2] for way in Direction}
        least, most = found[Direction.AT_LEAST], found[Direction.AT_MOST]
        assert least.met == (value >= bound - tolerance)
        assert most.met == (value <= bound + tolerance)
        assert least.met or most.met
        assert (least.value, least.bound, most.bound) == (value, bound - tolerance, bound + tolerance)

    @pytest.mark.parametrize(
        ("incumbent", "value", "met"),
        [
            (None, 0.1, True),
            (None, None, False),
            (Incumbent(1, {"m": 0.5}, None), 0.5, True),
            (Incumbent(1, {"m": 0.5}, None), 0.49, False),
            (Incumbent(1, {}, None), 0.9, False),
        ],
    )
    def test_the_metric_of_the_incumbent_is_the_bound(self, incumbent: Any, value: Any, met: object) -> None:
        """A metric that cannot be compared is not met: an admin has to override it with a reason."""
        facts = NOTHING._replace(incumbent=incumbent, metrics={} if value is None else {"m": value})
        assert judge(rules(metrics=[metric(Direction.AT_LEAST)]), facts)[2].met is met

    @pytest.mark.parametrize(
        ("verdicts", "met"),
        [
            ([], [False]),
            ([verdict("alice")], [True]),
            ([verdict("alice", void=True)], [False]),
            ([verdict("trainer")], [False]),
            ([verdict("alice"), verdict("bob", Verdict.REFUSED)], [True, False]),
            ([verdict("alice"), verdict("bob", Verdict.REFUSED, void=True)], [True]),
        ],
    )
    def test_only_valid_approvals_of_others_count(self, verdicts: Any, met: Any) -> None:
        """A refusal blocks the promotion beside any number of approvals."""
        found = judge(rules(approvals=1), NOTHING._replace(verdicts=verdicts))[2:]
        assert [finding.met for finding in found] == met

    def test_required_tags_and_files_are_checked(self) -> None:
        """A tag with any value or with one; a file by a pattern."""
        facts = NOTHING._replace(tags={"risk": "low", "team": ""}, files=["docs/card.md", "model.bin"])
        required = rules(
            tags={"risk": "low", "team": None, "owner": None, "desk": "fx"},
            files=["*.md", "docs/*", "model.bin", "*.txt"],
        )
        assert [(finding.subject, finding.met) for finding in judge(required, facts)[2:]] == [
            *(("risk", True), ("team", True), ("owner", False), ("desk", False)),
            *(("*.md", True), ("docs/*", True), ("model.bin", True), ("*.txt", False)),
        ]

    @pytest.mark.parametrize(
        ("pattern", "path", "met"),
        [
            *(("m[1].bin", "m[1].bin", True), ("m[1].bin", "m1.bin", False), ("m[!a]*", "mb", False)),
            *(("*", "a/b", True), ("a*b*c", "abc", True), ("a*b*c", "acb", False), ("ab*ba", "aba", False)),
            *(("*ab*ab*", "abab", True), ("*ab*ab*", "aab", False), ("a**b", "ab", True), ("a*bc*c", "abc", False)),
        ],
    )
    def test_only_the_star_is_special_in_file_patterns(self, pattern: str, path: str, met: object) -> None:
        """It matches any part of a path, also an empty one; brackets are literal."""
        assert judge(rules(files=[pattern]), NOTHING._replace(files=[path]))[2].met is met

    def test_matching_a_file_pattern_takes_linear_time(self) -> None:
        """With the largest number of stars, where a regular expression would take a second."""
        pattern = ("*" + "a" * 27) * MAX_STARS + "b"
        files = [f"{'a' * 250}/{'a' * 250}/{number}" for number in range(1_000)]
        began = time.process_time()
        assert not judge(rules(files=[pattern]), NOTHING._replace(files=files))[2].met
        assert time.process_time() - began < 0.2

    @pytest.mark.parametrize("way", Direction)
    def test_a_bound_is_finite_for_any_tolerance(self, way: Direction) -> None:
        """A bound beyond the largest double is capped, and every metric meets it."""
        largest = sys.float_info.max
        sign = -1 if way is Direction.AT_LEAST else 1
        facts = NOTHING._replace(metrics={"m": sign * largest})
        found = judge(rules(metrics=[metric(way, sign * largest, largest)]), facts)[2]
        assert (found.met, found.bound) == (True, sign * largest)

    def test_a_closed_window_says_when_it_opens(self) -> None:
        """The time is in UTC."""
        (finding,) = judge(rules(windows=opened(hours("18:00", "20:00"))), NOTHING)[2:]
        assert (finding.met, finding.found) == (False, "closed, opens at 2026-03-02T17:00:00Z")

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            (rules(metrics=[metric(Direction.AT_MOST)]), "rules.metrics[0].metric"),
            (rules(files=["good.md", "a//b"]), "rules.files[1]"),
            (rules(files=["mode?.bin"]), "rules.files[0]"),
            (rules(files=["a*" * (MAX_STARS + 1)]), "rules.files[0]"),
            (rules(tags={"a": "x\n"}), "tags.a"),
        ],
    )
    def test_rules_that_can_never_be_met_are_refused(self, wrong: Any, field: str) -> None:
        """They are refused when the policy is set."""
        with pytest.raises(RuleViolation) as refused:
            check_rules(wrong, frozenset({"n"}))
        assert refused.value.field == field

    def test_a_model_without_versions_accepts_rules_for_any_metric(self) -> None:
        """Its metrics are not known yet."""
        check_rules(rules(metrics=[metric(Direction.AT_MOST)]), None)


SIDE = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0, 1, True, None, "1", 1.5]))
TURNED = {Change.NEW: Change.GONE, Change.GONE: Change.NEW}


class TestComparison:
    @given(SIDE, SIDE)
    def test_a_comparison_is_symmetric_and_complete(self, left: dict[str, Any], right: dict[str, Any]) -> None:
        """The reverse comparison is the mirror image, and every entry of either version is listed."""
        one, other = {Part.METRICS: left}, {Part.METRICS: right}
        forth = {found.name: found for found in comparison.compare(one, other)}
        back = {found.name: found for found in comparison.compare(other, one)}
        assert forth.keys() == back.keys() == left.keys() | right.keys()
        for name, found in forth.items():
            assert (found.left, found.right) == (left.get(name), right.get(name)) == (back[name].right, back[name].left)
            assert back[name].change is TURNED.get(found.change, found.change)
        assert all(found.change is Change.EQUAL for found in comparison.compare(one, one))

    def test_true_is_not_one_and_absent_is_not_none(self) -> None:
        """Python compares True and 1 as equal; a parameter does not."""
        sides = ({"a": True, "b": None}, {"a": 1})
        found = comparison.compare(*({Part.PARAMETERS: side} for side in sides))
        assert [each.change for each in found] == [Change.CHANGED, Change.GONE]
