"""The rules of manifests, the lifecycle, canonical JSON and references, case by case and as laws."""

import hashlib
import json
import math
import os
import string
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from common_lib.rules import canonical, lifecycle, manifest, names, references
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.violation import RuleViolation
from tests.support.violations import refused

EMPTY = hashlib.sha256(b"").hexdigest()
NO_TEXT: list[Any] = [None, 7, True, b"abc", ["abc"], 1.5]
FILE: dict[str, Any] = {"path": "model.bin", "size": 0, "sha256": EMPTY, "media_type": "application/octet-stream"}


class TestManifests:
    def test_the_digest_is_that_of_the_canonical_bytes(self) -> None:
        """The standard library is enough to compute it from the files."""
        written = (
            '{"files":[{"media_type":"application/octet-stream","path":"model.bin",'
            f'"sha256":"{EMPTY}","size":0}}],"schema":"mrg-manifest/1"}}'
        ).encode()
        assert manifest.document([FILE]) == written
        assert manifest.digest([FILE]) == f"sha256:{hashlib.sha256(written).hexdigest()}"

    @given(st.permutations([FILE | {"path": path} for path in ("a", "B", "a-b", "a/b", "a.b")]))
    def test_the_order_of_files_makes_no_difference(self, files: list[dict[str, Any]]) -> None:
        """They are sorted by the bytes of their paths."""
        assert json.loads(manifest.document(files))["files"][0]["path"] == "B"
        assert manifest.digest(files) == manifest.digest(files[::-1])

    def test_every_fact_of_a_file_counts(self) -> None:
        """Another path, size, digest or media type is another version."""
        other = hashlib.sha256(b"other").hexdigest()
        changes: list[dict[str, Any]] = [{"path": "x"}, {"size": 1}, {"sha256": other}, {"media_type": "text/plain"}]
        variants = [FILE, *(FILE | change for change in changes)]
        assert len({manifest.digest([file]) for file in variants}) == 5

    @pytest.mark.parametrize(
        ("paths", "value"),
        [
            ([], 0),
            (["a", "a"], "a"),
            (["a/b", "A/B"], "A/B"),
            (["a", "a/b"], "a"),
            (["a/b/c/d", "A/b"], "A/b"),
            ([f"f{n}" for n in range(10_001)], 10_001),
        ],
        ids=["none", "twice", "but for capitals", "file and folder", "folder but for capitals", "too many"],
    )
    def test_files_that_cannot_stand_together_are_refused(self, paths: list[str], value: Any) -> None:
        """The one in the way is named."""
        violation = refused(manifest.check_files, [FILE | {"path": path} for path in paths])
        assert (violation.code, violation.value) == ("invalid_manifest", value)

    def test_ten_thousand_files_are_not_too_many(self) -> None:
        """Siblings whose names begin alike do not collide."""
        manifest.check_files([FILE | {"path": f"f{n}/x"} for n in range(10_000)])

    @pytest.mark.parametrize("size", [-1, 2**53, 10**30])
    def test_a_size_is_a_number_of_bytes_that_every_reader_of_json_holds(self, size: int) -> None:
        """Between 0 and 2**53 - 1."""
        assert refused(manifest.check_files, [FILE | {"size": size}]).value == size
        manifest.check_files([FILE | {"size": 2**53 - 1}])


class TestLifecycle:
    MOVES = frozenset(
        {
            ("development", "staging"),
            ("staging", "production"),
            ("development", "archived"),
            ("staging", "archived"),
            ("production", "archived"),
            ("archived", "staging"),
        }
    )

    @pytest.mark.parametrize(("current", "target"), list(product(ModelStage, ModelStage)))
    def test_a_move_is_legal_if_the_table_has_it(self, current: ModelStage, target: ModelStage) -> None:
        """All sixteen pairs; the refusal names the moves there are."""
        if (current, target) in self.MOVES:
            lifecycle.check_transition(current, target, "because")
            return
        violation = refused(lifecycle.check_transition, current, target, "because")
        assert (violation.code, violation.value) == ("illegal_transition", str(target))
        assert all(move in violation.remedy for start, move in self.MOVES if start == current)

    @pytest.mark.parametrize(("current", "target"), sorted(MOVES))
    @pytest.mark.parametrize("reason", ["", " ", "\n\t"])
    def test_a_decision_needs_a_reason(self, current: str, target: str, reason: str) -> None:
        """Promoting and archiving do, going to staging does not."""
        if target == "staging":
            lifecycle.check_transition(ModelStage(current), ModelStage.STAGING, reason)
        else:
            stages = ModelStage(current), ModelStage(target)
            assert refused(lifecycle.check_transition, *stages, reason).code == "reason_required"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
NUMBERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters), inner, max_size=4),
)


class TestCanonicalJson:
    # The examples of RFC 8785 and its reference implementation that hold no floats.
    CASES = (
        ("[56,{ 'd': true, '10': null, '1': []}]", "[56,{'1':[],'10':null,'d':true}]"),
        (
            (
                "{'peach':'This sorting order','p\\u00e9ch\\u00e9':'is wrong according to French',"
                " 'p\\u00eache':'but canonicalization MUST','sin':'ignore locale'}"
            ),
            (
                "{'peach':'This sorting order','péché':'is wrong according to French',"
                "'pêche':'but canonicalization MUST','sin':'ignore locale'}"
            ),
        ),
        (
            (
                "{'1': {'f': {'f': 'hi','F': 5} ,'\\n': 56},'10': { },'': 'empty','a': { },"
                "'111': [ {'e': 'yes','E': 'no' } ],'A': { }}"
            ),
            "{'':'empty','1':{'\\n':56,'f':{'F':5,'f':'hi'}},'10':{},'111':[{'E':'no','e':'yes'}],'A':{},'a':{}}",
        ),
        ("{'Unnormalized Unicode':'A\\u030a'}", "{'Unnormalized Unicode':'A\u030a'}"),
        ("['\\u20ac$\\u000F\\u000aA\\u0042\\u0022\\u005c\\\\\\'\\/']", "['€$\\u000f\\nAB\\'\\\\\\\\\\'/']"),
        (
            (
                "{'\\u20ac':'Euro Sign','\\r':'Carriage Return','\\ufb33':'Hebrew Letter Dalet With Dagesh','1':'One',"
                "'\\ud83d\\ude00':'Emoji: Grinning Face','\\u0080':'Control','\\u00f6':'O With Diaeresis'}"
            ),
            (
                "{'\\r':'Carriage Return','1':'One','\x80':'Control','ö':'O With Diaeresis',"
                "'€':'Euro Sign','😀':'Emoji: Grinning Face','\ufb33':'Hebrew Letter Dalet With Dagesh'}"
            ),
        ),
        ("[null, true, false, 0, -0, 9007199254740991]", "[null,true,false,0,0,9007199254740991]"),
        ("'\\u0000\\b\\t\\f\\u007f\\u2028'", "'\\u0000\\b\\t\\f\x7f\u2028'"),
    )

    @pytest.mark.parametrize(("given_text", "expected"), CASES)
    def test_the_examples_of_rfc_8785_come_out_as_they_stand_there(self, given_text: str, expected: str) -> None:
        """Keys by UTF-16 code units, shortest escapes, no spaces; quotes are written as ' here."""
        value = json.loads(given_text.replace("'", '"'))
        assert canonical.encode(value) == expected.replace("'", '"').encode()

    @pytest.mark.skipif("TEST_VECTORS" not in os.environ, reason="TEST_VECTORS names no folder of vectors")
    def test_the_vectors_of_the_reference_implementation(self) -> None:
        """Those with floats are refused by design."""
        cases = json.loads((Path(os.environ["TEST_VECTORS"]) / "rfc8785.json").read_text("utf-8"))["cases"]
        without_floats = 0
        for case in cases:
            value = json.loads(case["input"])
            if canonical.without_floats(value) == value:
                without_floats += 1
                assert canonical.encode(value).decode() == case["output"], case["case"]
            else:
                with pytest.raises(ValueError, match="no canonical bytes"):
                    canonical.encode(value)
        assert without_floats >= 4

    @given(JSON)
    def test_it_agrees_with_another_implementation(self, value: Any) -> None:
        """Byte for byte."""
        assert canonical.encode(value) == rfc8785.dumps(value)

    @given(JSON)
    def test_reading_and_writing_again_changes_nothing(self, value: Any) -> None:
        """The canonical form of the canonical form is itself."""
        once = canonical.encode(value)
        assert json.loads(once) == value
        assert canonical.encode(json.loads(once)) == once

    @pytest.mark.parametrize(
        "value", [0.5, 1.0, math.nan, math.inf, -0.0, 2**53, -(2**53), "\ud800", {"\ud800": 1}, [[1e300]]]
    )
    def test_what_two_readers_may_read_differently_is_refused(self, value: Any) -> None:
        """Floats, integers beyond a double, lone surrogates."""
        with pytest.raises(ValueError, match=r"canonical|2\*\*53|surrogates"):
            canonical.encode(value)

    @given(NUMBERS)
    def test_numbers_survive_their_text_form(self, value: Any) -> None:
        """To the last bit and with their type, as repr shows both; and the text form has canonical bytes."""
        written = canonical.without_floats(value)
        assert repr(canonical.with_floats(json.loads(canonical.encode(written)))) == repr(_lists(value))
        assert canonical.encode_with_decimals(value) == canonical.encode(written)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_json_cannot_say_has_no_text_form(self, value: float) -> None:
        """It would be read as null somewhere."""
        with pytest.raises(ValueError, match="cannot be represented in JSON"):
            canonical.without_floats({"loss": [value]})


def _lists(value: Any) -> Any:
    """Return the value with its keys in canonical order."""
    match value:
        case dict():
            return {key: _lists(value[key]) for key in sorted(value)}
        case list():
            return [_lists(item) for item in value]
    return value


class TestReferences:
    SELECTORS = st.sampled_from(["latest", *map(str, ModelStage)]) | st.integers(1, 2**31 - 1).map(str)

    @given(
        st.from_regex(names.MODEL_NAME, fullmatch=True).filter(lambda name: ".." not in name),
        SELECTORS | st.from_regex(names.ALIAS_NAME, fullmatch=True).map("@{}".format),
    )
    def test_a_reference_is_read_as_it_was_written(self, name: str, selector: str) -> None:
        """Whatever name and selector are legal."""
        try:
            written = str(references.Reference(names.check_model_name(name), references.check_selector(selector)))
        except RuleViolation:
            return
        assert references.parse(written) == (name, selector, None)
        assert str(references.parse(written)) == written

    @given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001 - see there
    def test_a_moment_is_read_as_it_was_written(self, moment: datetime) -> None:
        """To the microsecond, whatever the time zone."""
        reference = references.Reference("x", "production", moment)
        assert references.parse(str(reference)).as_of == moment.astimezone(UTC)

    @pytest.mark.parametrize("zone", ["Z", "+01:00", "-08:30"])
    def test_a_moment_says_its_time_zone(self, zone: str) -> None:
        """A `+` is not a space, as it would be in the query of an address."""
        assert references.parse(f"models:/x/production?as_of=2026-03-01T14:03:07{zone}").as_of is not None

    @pytest.mark.parametrize(
        "text",
        [
            *("", "2026", "2026-03-01", "2026-03-01T00:00:00", "2026-03-01 00:00:00Z", "2026-02-30T00:00:00Z", "now"),
            *("2026-03-01T24:00:00Z", "2026-03-01T00:00:00Z\n", "0001-01-01T00:00:00+01:00", "2026-03-01T00:00:00z"),
            *("20260301T000000Z", "2026-W09-1T00:00:00Z", "٢٠٢٦-03-01T00:00:00Z", "1772323200", "9" * 5_000),
        ],
    )
    def test_what_is_no_moment_is_refused(self, text: str) -> None:
        """No time zone, no such day, no such calendar; a number might be seconds or a year."""
        assert refused(references.parse, f"models:/x/production?as_of={text}").code == "invalid_reference"

    @pytest.mark.parametrize("selector", ["latest", "7", "@champion", "staging", "archived", "development"])
    def test_only_production_has_a_history(self, selector: str) -> None:
        """What an alias or `latest` meant at a moment is not known, and is not guessed."""
        place = selector if selector.startswith("@") else f"/{selector}"
        violation = refused(references.parse, f"models:/x{place}?as_of=2026-03-01T00:00:00Z")
        assert (violation.code, violation.field) == ("invalid_reference", "selector")

    @pytest.mark.parametrize(
        "text",
        [
            *("", "models:/", "models:/x", "models:/x/", "models:/x/0", "models:/x/-1", "models:/x/01", "models:/x/+1"),
            *("models:/x/1_0", "models:/x/١", "models:/x/v7", "models:/x/2147483648", "models:/x/" + "9" * 5_000),
            *("models:/x/Production", "models:/x/1\n", "\nmodels:/x/1", "models:/x/1 ", "models:/x/y/1", "models:/x@"),
            *("models:/x/@a", "models:/x@a/1", "models:/x@@a", "models:/x@a@b", "models:/x?1", "runs:/x/1", "x", "x/1"),
            *("models://x/1", "MODELS:/x/1", "models:/../1", "models:/x@a\x00", "models:/x@A", "models:/x@v1"),
        ],
    )
    def test_what_is_no_reference_is_refused(self, text: str) -> None:
        """Wrong scheme, no selector, numbers with signs, zeros or foreign digits, control characters."""
        assert refused(references.parse, text).code in {"invalid_reference", "invalid_name", "reserved_name"}

    def test_a_number_is_one_of_those_that_versions_have(self) -> None:
        """1 … 2**31 - 1, in one spelling."""
        assert [references.parse_version_number(text) for text in ("1", "2147483647")] == [1, 2**31 - 1]
        for text in ("0", "01", "+1", "-1", " 1", "1 ", "1\n", "2147483648", "9" * 10, "9" * 5_000, "١", "1_0", ""):
            assert references.parse_version_number(text) is None
