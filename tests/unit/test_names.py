"""The rules of names, texts and paths, case by case and as laws."""

import hashlib
import string
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_lib.rules import names, references
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.violation import RuleViolation
from tests.support.violations import refused

EMPTY = hashlib.sha256(b"").hexdigest()
NO_TEXT: list[Any] = [None, 7, True, b"abc", ["abc"], 1.5]


class TestModelNames:
    @pytest.mark.parametrize("name", ["a", "7", "A.b_c-d", "eurusd-direction", "a" * 128, "x.y.z", "console", "com10"])
    def test_a_name_comes_back_as_it_is(self, name: str) -> None:
        """It is never normalised."""
        assert names.check_model_name(name) is name

    @pytest.mark.parametrize(
        "name",
        [
            *("", " ", ".", "..", "a..b", "-a", "a-", ".a", "a.", "_a", "a_", "a b", " a", "a ", "a\n", "\na", "a\x00"),
            *("a/b", "a\\b", "../x", "%2e%2e", "~root", "a:b", "a*", "`id`", ";id", "a\tb", "a" * 129, "a@b", "a=b"),
            *("é", "аdmin", "a\u200bb", "a\u2024b", "\u202egpj.exe", "a\ud800", "１", "a\u0301"),
            *NO_TEXT,
        ],
    )
    def test_what_is_no_name_is_refused_with_the_value(self, name: Any) -> None:
        """Path tricks, look-alikes, invisible signs, a trailing newline, too long, no text at all."""
        violation = refused(names.check_model_name, name)
        assert (violation.code, violation.field, violation.value) == ("invalid_name", "name", name)

    @pytest.mark.parametrize("name", ["con", "CON", "nul", "Aux.txt", "com1", "LPT9.model"])
    def test_devices_of_windows_are_reserved(self, name: str) -> None:
        """Names become folders on the users' machines."""
        assert refused(names.check_model_name, name).code == "reserved_name"

    @given(st.text(max_size=140))
    def test_whatever_passes_is_ascii_and_harmless(self, name: str) -> None:
        """No text that the rule lets through can leave a folder, and its prefixes are prefixes."""
        try:
            names.check_model_name(name)
        except RuleViolation:
            return
        assert name.isascii()
        assert Path("/root", name).resolve() == Path("/root") / name
        assert names.check_model_prefix(name[: len(name) // 2 + 1])

    @pytest.mark.parametrize("prefix", ["a", "A.", "a-", "a_", "a" * 128])
    def test_a_prefix_is_what_names_begin_with(self, prefix: str) -> None:
        """It may end with a sign."""
        assert names.check_model_prefix(prefix) == prefix

    @pytest.mark.parametrize("prefix", ["", "-", ".", "a\x00", "a%", "\U0010ffff", "a\n", "a" * 129, *NO_TEXT])
    def test_what_no_name_begins_with_is_no_prefix(self, prefix: Any) -> None:
        """A mistake is reported; it does not lead to an empty result."""
        assert refused(names.check_model_prefix, prefix).field == "prefix"


class TestOtherNames:
    @pytest.mark.parametrize("alias", ["a", "champion", "shadow-2", "v", "va1", "version1", "a" * 64])
    def test_an_alias_is_a_lower_case_word(self, alias: str) -> None:
        """It comes back as it is."""
        assert names.check_alias(alias) == alias

    @pytest.mark.parametrize(
        "alias", ["", "A", "1a", "-a", "a-", "a.b", "a b", "a\n", "a/b", "@a", "a" * 65, "é", "a\x00", *NO_TEXT]
    )
    def test_other_words_are_no_alias(self, alias: Any) -> None:
        """Capitals, digits first, signs, too long."""
        assert refused(names.check_alias, alias).code == "invalid_name"

    @pytest.mark.parametrize("alias", ["latest", *map(str, ModelStage), "v1", "v007"])
    def test_words_with_a_meaning_are_reserved(self, alias: str) -> None:
        """A reference must mean one thing."""
        assert refused(names.check_alias, alias).code == "reserved_name"

    def test_the_other_rules_refuse_what_is_no_text(self) -> None:
        """A number or None is reported like any other wrong value, not by an accident of the parser."""
        rules = [names.check_principal_name, names.check_sha256, names.check_token_id, names.check_idempotency_key]
        for rule, value in product([*rules, names.check_artifact_path, references.parse], NO_TEXT):
            assert refused(rule, value).value == value

    @pytest.mark.parametrize(
        ("rule", "right", "wrong"),
        [
            (names.check_principal_name, ["a", "0", "ml.workbench_2"], ["", "A", ".a", "a-", "a b", "a\n", "a" * 65]),
            (names.check_sha256, [EMPTY], ["", EMPTY[:-1], EMPTY + "0", EMPTY.upper(), EMPTY[:-1] + "g", EMPTY + "\n"]),
            (names.check_token_id, [EMPTY[:16]], ["", EMPTY[:15], EMPTY[:17], EMPTY[:15] + "A", EMPTY[:16] + "\n"]),
            (names.check_idempotency_key, ["a" * 8, "A_-9" * 32], ["", "a" * 7, "a" * 129, "a b c d e", "aaaaaaaé"]),
        ],
    )
    def test_each_kind_of_name_has_its_own_rule(self, rule: Any, right: list[str], wrong: list[str]) -> None:
        """What is right comes back, what is wrong is shown."""
        assert [rule(name) for name in right] == right
        assert [refused(rule, name).value for name in wrong] == wrong

    def test_a_secret_in_the_place_of_an_id_is_hidden(self) -> None:
        """Who pastes the wrong one must not find it in a log."""
        secret = "mrg_" + "a" * 49
        violation = refused(names.check_token_id, secret)
        assert secret not in f"{violation} {violation.value}"

    def test_keys_are_words_with_a_few_signs(self) -> None:
        """Of tags, metadata, parameters and metrics; the marker of hashed decimals can never be one."""
        names.check_keys("metrics", ["holdout/auc", "clf__C", "a@b", "_", "a.b-c", "a" * 128])
        for key in ("", "a/../b", "$decimal", "$part", "a b", "/a", "a/", "a\n", "é", "a\x00", "a" * 129, 7):
            assert refused(names.check_keys, "metrics", [key]).value == key
        assert refused(names.check_keys, "metrics", [f"k{n}" for n in range(257)]).code == "too_many_entries"

    def test_tags_are_short_and_printable(self) -> None:
        """At most 64 lines of 256 characters."""
        names.check_tags({f"t{n}": "ü" * 256 for n in range(64)})
        assert refused(names.check_tags, {f"t{n}": "" for n in range(65)}).value == 65
        for value in ("a\nb", "\x00", "\u2028", "\u202e", "\ud800", "x" * 257):
            violation = refused(names.check_tags, {"team": value})
            assert (violation.code, violation.field, violation.value) == ("invalid_tag", "tags.team", value)


class TestTexts:
    @pytest.mark.parametrize("text", ["", "two\nlines\tand a tab", "Grüße 😂", "[" * 2_000, "a" * 2_000])
    def test_a_text_may_hold_what_people_write(self, text: str) -> None:
        """It comes back as it is."""
        assert names.check_text("reason", text, 2_000) is text

    @pytest.mark.parametrize("sign", ["\x00", "\x08", "\x0b", "\r", "\x1b", "\x1f", "\x7f", "\x85", "\x9b", "\ud800"])
    def test_control_characters_are_refused(self, sign: str) -> None:
        """They cheat terminals, and PostgreSQL takes no NUL."""
        violation = refused(names.check_text, "reason", f"so {sign} so", 2_000)
        assert (violation.code, violation.field, violation.value) == ("invalid_text", "reason", sign)

    def test_only_the_beginning_of_a_long_text_is_reported(self) -> None:
        """The limit is exact, and the refusal is not as long as the text."""
        violation = refused(names.check_text, "reason", "a" * 1_000_001, 1_000_000)
        assert violation.code == "text_too_long"
        assert "1000001" in violation.value


class TestArtifactPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "a",
            "model.bin",
            "a/b/c.txt",
            "weights (1).bin",
            "a b",
            "[x]/(y)=@+,z",
            "_",
            "-a",
            "/".join("a" * 16),
            "a" * 512,
        ],
    )
    def test_a_path_is_relative_and_plain(self, path: str) -> None:
        """It comes back as it is."""
        assert names.check_artifact_path(path) is path

    @pytest.mark.parametrize(
        "path",
        [
            *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".hidden", "a.", "a/ b", "a "),
            *("../../../../etc/passwd", "..%2fetc", "%2e%2e/a", "a\\b", "..\\a", "C:/x", "C:\\x", "file:///etc/passwd"),
            *(
                "a\x00.txt",
                "a\n",
                "a\r\nb",
                "a;b",
                "a?b",
                "a#b",
                "a:b",
                "a|b",
                "a*",
                "~root",
                "$HOME",
                "`id`",
                "a'b",
                'a"b',
            ),
            *(
                "é",
                "\u2024\u2024/x",
                "\u202egpj.exe",
                "a\u2028b",
                "\uff0e\uff0e",
                "a" * 513,
                "/".join("a" * 17),
                "a\ud800",
            ),
            *NO_TEXT,
        ],
    )
    def test_what_could_mean_another_place_is_refused(self, path: Any) -> None:
        """Parents, absolute paths, drives, controls, look-alikes, too long or too deep."""
        violation = refused(names.check_artifact_path, path)
        assert (violation.code, violation.field, violation.value) == ("invalid_path", "path", path)

    @pytest.mark.parametrize("path", ["con", "a/NUL.txt", "aux/x", "a/com1"])
    def test_devices_are_refused_in_each_segment(self, path: str) -> None:
        """A manifest can be unpacked on Windows."""
        assert refused(names.check_artifact_path, path).code == "reserved_name"

    @given(st.text(alphabet=string.printable + "é\u2024", max_size=40))
    def test_whatever_passes_stays_below_its_folder(self, path: str) -> None:
        """Joined to any folder, it names a file in it."""
        try:
            names.check_artifact_path(path)
        except RuleViolation:
            return
        assert Path("/root", path).resolve().is_relative_to("/root")
        assert Path("/root", path).relative_to("/root").as_posix() == path
