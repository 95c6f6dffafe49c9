"""Model formats: what a file declares to be, and whether its bytes agree."""

import contextlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_lib.artifacts.trust import is_trusted
from common_lib.errors import LoadRefused
from common_lib.rules import formats
from common_lib.rules.containers import protobuf_fields, zip_names
from common_lib.rules.names import MEDIA_TYPE, matches
from common_lib.rules.violation import RuleViolation

ANY = formats.UNDECLARED
D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def archive(*names: str, compression: int = zipfile.ZIP_STORED, content: bytes = b"{}") -> bytes:
    """Return a ZIP archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name in names:
            file.writestr(name, content)
    return made.getvalue()


def test_media_types_and_names_belong_to_one_format() -> None:
    """They meet the rules of manifests, too."""
    types = [form.media_type for form in formats.FORMATS]
    suffixes = [suffix for form in formats.FORMATS for suffix in form.suffixes]
    assert len(set(types)) == len(types)
    assert len(set(suffixes)) == len(suffixes)
    assert all(matches(MEDIA_TYPE, media_type) for media_type in types)
    assert all(suffix == suffix.lower() for suffix in suffixes)
    assert {form.name for form in formats.FORMATS if not form.safe} == {"pickle", "joblib", "torch"}


@pytest.mark.parametrize(
    ("path", "media_type", "loader"),
    [
        ("model.skops", ANY, "skops"),
        ("MODEL.SKOPS", ANY, "skops"),
        ("model.skops", "application/zip", "skops"),
        ("deep/er/model.xgb.json", ANY, "xgboost"),
        ("model.xgb.json", "application/json", "xgboost"),
        ("model.json", "application/vnd.xgboost+json", "xgboost"),
        ("model.json", ANY, "json"),
        ("model.lgb.txt", "text/plain", "lightgbm"),
        ("model.txt", "text/vnd.lightgbm", "lightgbm"),
        ("model", "application/vnd.skops", "skops"),
        ("notes.md", "text/plain", "text"),
        ("model.pkl", ANY, "pickle"),
        ("model.joblib.gz", ANY, "joblib"),
        ("model.acme", ANY, "acme"),
        ("model.bin", "application/vnd.acme", "acme"),
    ],
)
def test_name_and_media_type_declare_a_format(path: str, media_type: str, loader: str) -> None:
    """The longest suffix counts; a general media type does not contradict it."""
    found = formats.declared(path, media_type)
    assert found is not None
    assert found.loader == loader


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("model.pkl", "application/vnd.safetensors"),
        ("model.safetensors", "application/vnd.python.pickle"),
        ("model.skops", "application/vnd.joblib"),
        ("model.skops", "image/png"),
        ("model.exe", "application/vnd.onnx"),
        ("model.json", "text/plain"),
    ],
)
def test_contradicting_name_and_media_type_are_refused(path: str, media_type: str) -> None:
    """Neither of the two is trusted."""
    with pytest.raises(RuleViolation):
        formats.declared(path, media_type)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("model", ANY), ("image.png", "image/png"), ("x.xgboost", ANY), ("x.bin", "application/vnd.pickle")],
)
def test_a_file_without_a_declared_format_is_not_loaded(path: str, media_type: str) -> None:
    """A format of another package never leads to one of our loaders."""
    assert formats.declared(path, media_type) is None


def test_an_ambiguous_archive_is_refused() -> None:
    """Bytes before, behind or between members, duplicate names, comments and bombs."""
    good = archive("schema.json", "1.npy")
    assert zip_names(good) == {"schema.json", "1.npy"}
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive("schema.json", "schema.json")
    renamed = good.replace(b"schema.json", b"other.jsonx", 1)  # the local header says otherwise
    bomb = archive("schema.json", compression=zipfile.ZIP_DEFLATED, content=b"0" * 2**27)
    for bad in (
        b"x" + good,
        good + b"x",
        good[:-1],
        good[:-2] + b"\x01\x00x",
        twice,
        renamed,
        bomb,
        b"",
        b"PK\x03\x04",
    ):
        assert zip_names(bad) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive("data.json"), "no schema.json"),
        (archive("schema.json", "archive/data.pkl"), r"contains 'archive/data\.pkl'"),
        (pickle.dumps([1]), "not a plain ZIP"),
    ],
)
def test_a_skops_file_contains_only_what_skops_writes(content: bytes, reason: str) -> None:
    """A pickle beside it is refused."""
    assert reason.replace("\\", "") in str(formats.BY_NAME["skops"].fault(content))


@pytest.mark.parametrize("length", [0, 1, 3, 10**8 + 1, 2**31, 2**63, 2**64 - 1])
def test_a_safetensors_header_longer_than_the_file_is_refused(length: int) -> None:
    """No memory is allocated for it."""
    fault = formats.BY_NAME["safetensors"].fault
    assert "header" in str(fault(struct.pack("<Q", length) + b"{}"))
    assert fault(struct.pack("<Q", 2) + b"{}") is None
    assert fault(b"\x02") is not None


@given(st.binary(max_size=200), st.sampled_from(formats.FORMATS))
def test_any_bytes_are_checked_without_an_error(content: bytes, form: formats.Format) -> None:
    """The result is a reason or None for any bytes."""
    fault = form.fault(content)
    assert fault is None or fault
    assert formats.resemblance(content)
    with contextlib.suppress(ValueError):
        list(protobuf_fields(content, 0, len(content)))
    zip_names(content)


# Fields 1 (a varint of two bytes), 2 (three bytes), 3 (a double) and 4 (a float), and where each of them ends.
MESSAGE = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x19" + bytes(8) + b"\x25" + bytes(4)
ENDS = [3, 8, 17, 22]


def test_the_fields_of_a_protobuf_message_are_found() -> None:
    """Each field has its number, wire type and place, and whether its content is not empty or zero."""
    places = [(1, 0, 1, 3, True), (2, 2, 5, 8, True), (3, 1, 9, 17, True), (4, 5, 18, 22, True)]
    assert list(protobuf_fields(MESSAGE, 0, len(MESSAGE))) == places
    assert list(protobuf_fields(MESSAGE, 3, 8)) == places[1:2]
    assert [there for *_, there in protobuf_fields(b"\x08\x00\x12\x00", 0, 4)] == [False, False]


@pytest.mark.parametrize("rest", [b"", MESSAGE])
@pytest.mark.parametrize("end", sorted({*range(1, len(MESSAGE))} - {*ENDS}))
def test_a_protobuf_field_ends_with_its_message(end: int, rest: bytes) -> None:
    """A message that is cut off is refused, and bytes behind it belong to none of its fields."""
    found = protobuf_fields(MESSAGE[:end] + rest, 0, end)
    for stop in ENDS:
        if stop <= end:
            assert next(found)[3] == stop
    with pytest.raises(ValueError, match="not a protobuf message"):
        next(found)


@pytest.mark.parametrize("content", [b"\x00\x01", b"\x02\x00", b"\x0b", b"\x0c", b"\x0e\x00", b"\x0f", b"\x80" * 11])
def test_what_no_protobuf_message_contains_is_refused(content: bytes) -> None:
    """The field number 0, groups, unknown wire types, and a varint of more than ten bytes."""
    with pytest.raises(ValueError, match="not a protobuf message"):
        list(protobuf_fields(content, 0, len(content)))


@given(st.text(max_size=40), st.sampled_from([ANY, "text/plain", *(form.media_type for form in formats.FORMATS)]))
def test_any_name_is_classified_or_refused(path: str, media_type: str) -> None:
    """The result is a format, None, or a violation of the rules."""
    with contextlib.suppress(RuleViolation):
        formats.declared(path, media_type)


@given(st.sampled_from([0, 1, 2, 3, 4, 5]), st.sampled_from([form for form in formats.FORMATS if form.safe]))
def test_a_pickle_is_refused_by_every_safe_format_but_text(protocol: int, form: formats.Format) -> None:
    """Pickles of the oldest protocol are ASCII, and harmless when they are read as text."""
    content = pickle.dumps(print, protocol=protocol)
    assert form.fault(content) or form.name == "text"


class TestTrust:
    def test_no_digest_is_trusted_by_default(self) -> None:
        """An empty set trusts no digest, either."""
        assert not is_trusted(None, [D1])
        assert not is_trusted(set(), [D1])

    def test_a_set_of_digests_is_trusted(self) -> None:
        """With or without the name of the hash."""
        assert is_trusted({D1}, [D2, D1])
        assert is_trusted(["1" * 64], [D1])
        assert not is_trusted({D2}, [D1])

    def test_a_file_of_digests_is_read_at_each_use(self, tmp_path: Path) -> None:
        """A digest that was removed from the file is not trusted any more."""
        file = tmp_path / "trusted"
        file.write_text(f"# reviewed\n{'1' * 64}  model.pkl\n\n{D2} # by risk\n")
        assert is_trusted(file, [D1])
        assert is_trusted(file, [D2])
        file.write_text("")
        assert not is_trusted(file, [D1])

    def test_a_trust_function_must_return_true(self) -> None:
        """An asynchronous function would otherwise trust everything."""

        async def later(digest: str) -> bool:
            return False

        coroutines: list[object] = []
        assert is_trusted(lambda digest: digest == D1, [D2, D1])
        assert not is_trusted(lambda digest: 1, [D1])  # type: ignore[arg-type,return-value]
        assert not is_trusted(lambda digest: coroutines.append(later(digest)) or coroutines[-1], [D1])  # type: ignore[arg-type,return-value,func-returns-value]
        coroutines[0].close()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("given", [D1, b"x", 7, {"model.pkl"}, {"1" * 63}, {"A" * 64}, [None]])
    def test_an_invalid_digest_is_refused(self, given: object) -> None:
        """A text could be a path or a digest, so it is refused."""
        with pytest.raises(LoadRefused):
            is_trusted(given, [D1])  # type: ignore[arg-type]

    @pytest.mark.parametrize("content", [b"\xff", b"latest\n"])
    def test_an_unreadable_trust_file_is_an_error(self, tmp_path: Path, content: bytes) -> None:
        """The error names the file."""
        (tmp_path / "trusted").write_bytes(content)
        for file in (tmp_path / "trusted", tmp_path / "missing"):
            with pytest.raises(LoadRefused):
                is_trusted(file, [D1])


def test_json_begins_as_json() -> None:
    """Also after white space."""
    fault = formats.BY_NAME["json"].fault
    assert all(fault(json.dumps(value).encode()) is None for value in ({}, [], "", 1, -1, None, True, False))
    assert fault(b"\x80\x04.") is not None


def test_the_documented_table_of_formats_matches_the_code() -> None:
    """Loader, names and media type of each format, on the page on loading."""
    rows = [
        f"| {form.name} | `{form.loader}` "
        f"| {', '.join(f'`{suffix}`' for suffix in form.suffixes)} | `{form.media_type}` |"
        for form in formats.FORMATS
    ]
    page = Path(__file__).parents[2] / "docs" / "howto" / "loading.md"
    assert "\n".join(rows) in page.read_text("utf-8")
