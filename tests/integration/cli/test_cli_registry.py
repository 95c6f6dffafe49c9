"""The commands of `registry`, with output for people and as JSON."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_lib import HttpRegistry, Operation, RegistryConfig
from common_lib.cli import show
from tests.support.cli import Cli


def test_a_registered_folder_is_promoted_and_downloaded(cli: Cli, model: str, trained: Path, tmp_path: Path) -> None:
    """The downloaded files are the registered ones."""
    cli("versions", "register", model, trained, "--framework", "sklearn", "--metric", "accuracy=0.49")
    (trained / "weights.json").write_text('{"w": [0.5]}')
    cli("versions", "register", model, trained, "--framework", "sklearn", "--metric", "accuracy=0.5")
    moved = ""
    for number in ("1", "2"):
        cli("stages", "set", model, number, "staging")
        moved = cli("promote", model, number, "--reason", "it is the better one").stdout
    assert moved == f"models:/{model}/2 is in production\n"
    cli("aliases", "set", model, "champion", "2")
    output = cli("download", f"models:/{model}@champion", "--to", tmp_path / "out").stdout
    assert "2 files, 18 bytes, verified" in output
    assert (tmp_path / "out" / "weights.json").read_text() == '{"w": [0.5]}'
    listed = cli("models", "list", "--prefix", model).stdout.splitlines()
    assert listed[0].split() == ["name", "type", "owner", "versions", "production", "created", "tags"]
    assert re.fullmatch(
        rf"{model} +classification +admin +2 +2 +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ +team=fx", listed[2].strip()
    )


def test_each_command_writes_one_json_document(cli: Cli, version: str, tmp_path: Path) -> None:
    """The documents have the fields of the API."""
    name = version
    assert cli.json("whoami")["name"] == "admin"
    assert [found["name"] for found in cli.json("models", "list", "--prefix", name)] == [name]
    assert [found["name"] for found in cli.json("models", "search", "--prefix", name)] == [name]
    assert [found["name"] for found in cli.json("search", "--prefix", name)] == [name]
    assert cli.json("models", "show", name)["latest_version"] == 1
    assert cli.json("models", "update", name, "--owner", "desk")["owner"] == "desk"
    assert [found["version"] for found in cli.json("versions", "list", name)] == [1]
    output = cli.json("versions", "show", name, "latest")
    assert [entry["path"] for entry in output["files"]] == ["notes.txt", "weights.json"]
    assert output["metrics"] == {"accuracy": 0.49}
    assert cli.json("stages", "set", name, "1", "staging")["stage"] == "staging"
    assert cli.json("aliases", "set", name, "shadow", "1")["version"] == 1
    assert [found["alias"] for found in cli.json("aliases", "list", name)] == ["shadow"]
    assert cli.json("aliases", "delete", name, "shadow")["alias"] == "shadow"
    assert cli.json("diff", name, "1", "latest")["metrics"] == {}
    assert cli.json("download", f"models:/{name}/1", "--to", tmp_path / "out")["version"]["version"] == 1
    assert cli.json("versions", "tombstone", name, "1", "--reason", "done")["tombstone"]["reason"] == "done"
    assert cli.json("models", "tombstone", name, "--reason", "done")["tombstone"]["by"] == "admin"


def test_the_metadata_of_a_version_is_registered_and_displayed(cli: Cli, model: str, trained: Path) -> None:
    """A parameter is a JSON scalar if it is one, otherwise a text."""
    signature = trained.parent / "signature.json"
    signature.write_text(
        '{"inputs": [{"name": "rate", "dtype": "float64", "shape": [-1, 5]}],'
        ' "outputs": [{"name": "up", "dtype": "int64"}]}'
    )
    options = ["--param", "depth=3", "--param", "solver=adam", "--param", 'text="3"', "--metric", "rmse=0.47"]
    options += ["--tag", "by=night", "--run", "r1", "--code-commit", "abc", "--signature", str(signature)]
    made = cli.json("versions", "register", model, trained, "--framework", "onnx", *options)
    assert made["parameters"] == {"depth": 3, "solver": "adam", "text": "3"}
    assert made["lineage"]["run"] == "r1"
    output = cli("versions", "show", model, "1").stdout
    for fact in ("input rate  float64[-1, 5]", "output up   int64[]", "depth   3", "code_commit  abc", "rmse  0.47"):
        assert fact in output
    assert "notes.txt" in output


def test_a_count_of_one_is_in_the_singular(cli: Cli, model: str, tmp_path: Path) -> None:
    """This holds for files and for bytes."""
    (tmp_path / "one.bin").write_bytes(b"1")
    output = cli("versions", "register", model, tmp_path / "one.bin", "--framework", "onnx").stdout
    assert re.search(r"^content +1 file, 1 byte *$", output, re.MULTILINE)
    output = cli("download", f"models:/{model}/1", "--to", tmp_path / "out").stdout
    assert output == f"models:/{model}/1 is in {tmp_path / 'out'}: 1 file, 1 byte, verified\n"
    (tmp_path / "one.bin").write_bytes(b"more")
    cli("versions", "register", model, tmp_path / "one.bin", "--framework", "onnx")
    (row,) = (line for line in cli("diff", model, "1", "2").stdout.splitlines() if line.startswith("one.bin"))
    assert "… 1 byte " in row
    assert "… 4 bytes " in row


def test_a_diff_lists_both_values_side_by_side(cli: Cli, version: str, trained: Path) -> None:
    """Equal fields are listed only with --all; changed numbers have their difference."""
    (trained / "weights.json").write_text('{"w": [1.00]}')
    measured = ["--metric", "accuracy=0.515", "--param", "depth=4"]
    cli("versions", "register", version, trained, "--framework", "sklearn", *measured)
    done = cli("diff", version, "1", "2")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["accuracy", "0.49", "0.515", "+0.025"] in lines
    assert ["depth", "–", "4", "new"] in lines
    assert any(line[:1] == ["weights.json"] and line[-1] == "changed" for line in lines)
    assert "notes.txt" not in done.stdout
    assert "more are equal; --all shows them" in done.stderr
    assert "notes.txt" in cli("diff", version, "1", "2", "--all").stdout
    document = cli.json("diff", version, "1", "2")
    assert document["metrics"] == {"accuracy": {"left": 0.49, "right": 0.515}}


def test_integers_are_exact_in_a_diff(cli: Cli, model: str, tmp_path: Path) -> None:
    """Large integers are not rounded."""
    for size, rows in ((12_345_678, 2_000_000), (12_345_677, 3_000_001)):
        (tmp_path / "model.bin").write_bytes(bytes(size))
        cli("versions", "register", model, tmp_path / "model.bin", "--framework", "onnx", "--param", f"rows={rows}")
    lines = [line.split() for line in cli("diff", model, "1", "2").stdout.splitlines()]
    assert ["bytes", "12,345,678", "12,345,677", "-1"] in lines
    assert ["rows", "2,000,000", "3,000,001", "+1,000,001"] in lines


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--tag", "team=fx", "--tag", "desk=eu"], "a"),
        (["--type", "forecasting"], "b"),
        (["--owner", "risk"], "b"),
        (["--order", "-name"], "ba"),
        (["--order", "-name", "--limit", "1"], "b"),
        (["--created-before", "2020-01-01"], ""),
        (["--created-from", "2020-01-01T00:00:00+01:00"], "ab"),
        (["--stage", "production"], ""),
        (["--tombstoned"], "abc"),
    ],
)
def test_models_are_found_by_every_filter(cli: Cli, name: str, filters: list[str], found: str) -> None:
    """Filters are combined; a time without an offset is UTC."""
    cli("models", "create", f"{name}-a", "--type", "regression", "--tag", "team=fx", "--tag", "desk=eu")
    cli("models", "create", f"{name}-b", "--type", "forecasting", "--owner", "risk", "--tag", "team=fx")
    cli("models", "create", f"{name}-c", "--type", "reinforcement")
    cli("models", "tombstone", f"{name}-c", "--reason", "never used")
    listed = cli.json("search", "--prefix", f"{name}-", *filters)
    assert "".join(model["name"][-1] for model in listed) == found


def test_an_update_of_a_version_changes_only_the_given_fields(cli: Cli, version: str) -> None:
    """Tags are added and removed by name; --force needs a reason, which the event has."""
    tagged = cli.json("versions", "update", version, "1", "--tag", "desk=fx", "--tag", "old=yes", "--description", "a")
    assert (tagged["tags"], tagged["description"]) == ({"desk": "fx", "old": "yes"}, "a")
    forced = ("versions", "update", version, "1", "--remove-tag", "old", "--force")
    assert cli.problem(*forced, status=1)["code"] == "reason_required"
    updated = cli.json(*forced, "--reason", "it is new")
    assert (updated["tags"], updated["description"]) == ({"desk": "fx"}, "a")
    last = cli.json("events")[-1]
    assert (last["type"], last["data"]["forced"], last["data"]["reason"]) == (
        "registry.version.updated",
        True,
        "it is new",
    )


def test_an_update_of_a_model_changes_only_the_given_fields(cli: Cli, model: str) -> None:
    """Tags and metadata are added, replaced and removed one by one."""
    cli("models", "update", model, "--tag", "desk=eu", "--metadata", "horizon=5", "--metadata", "live=true")
    after = cli.json("models", "update", model, "--remove-tag", "team", "--remove-metadata", "live", "--owner", "desk")
    assert (after["tags"], after["metadata"], after["owner"]) == ({"desk": "eu"}, {"horizon": 5}, "desk")
    assert after["description"] == "Up or down?"


def test_a_concurrent_change_is_not_overwritten(cli: Cli, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command reads the object first and sends its revision; only --force overwrites."""
    original = HttpRegistry.call

    def interrupted(registry: HttpRegistry, operation: Operation[Any]) -> Any:
        if operation.method == "PATCH":
            monkeypatch.setattr(HttpRegistry, "call", original)
            with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token)) as other:
                other.models.update(model, owner="somebody else", force=True, reason="left")
        return original(registry, operation)

    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    assert cli.problem("models", "update", model, "--owner", "me", status=1)["code"] == "revision_mismatch"
    assert cli.json("models", "show", model)["owner"] == "somebody else"
    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    assert cli.json("models", "update", model, "--owner", "me", "--force", "--reason", "back")["owner"] == "me"


def test_a_change_can_be_based_on_an_earlier_revision(cli: Cli, version: str) -> None:
    """A change based on an old revision is refused; --revision and --force cannot be combined."""
    seen = str(cli.json("models", "show", version)["revision"])
    cli("models", "update", version, "--owner", "a", "--revision", seen)
    assert cli.problem("models", "update", version, "--owner", "b", "--revision", seen, status=1)["status"] == 412
    cli("stages", "set", version, "1", "staging", "--revision", "7", status=1)
    cli("stages", "set", version, "1", "staging", "--revision", "1", "--force", status=2)
    assert cli.problem("stages", "set", version, "1", "staging", "--force", status=1)["code"] == "reason_required"
    cli("stages", "set", version, "1", "staging", "--force", "--reason", "whatever it was")


def test_an_alias_moves_by_compare_and_set(cli: Cli, version: str, trained: Path) -> None:
    """A change based on an older revision is refused."""
    cli("versions", "register", version, trained, "--framework", "sklearn")
    assert cli.json("aliases", "set", version, "champion", "1")["revision"] == 1
    assert cli.json("aliases", "set", version, "champion", "2", "--reason", "better")["revision"] == 2
    cli("aliases", "set", version, "champion", "1", "--revision", "1", status=1)
    cli("aliases", "delete", version, "champion", "--revision", "1", status=1)
    assert "it pointed at version 2" in cli("aliases", "delete", version, "champion").stdout
    cli("aliases", "delete", version, "champion", status=3)


def test_the_log_is_read_page_by_page(cli: Cli, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event has a row, the oldest first; as JSON it also has the values before and after."""
    monkeypatch.setattr("common_lib.cli.options._PAGE", 3)
    last = int(cli.json("events")[-1]["sequence"])
    cli("stages", "set", version, "1", "archived", "--reason", "too old", "--force")
    cli("models", "update", version, "--owner", "desk")
    done = cli("events", "--after", str(last))
    heading, _, archived, updated = (line.split() for line in done.stdout.splitlines())
    assert heading == ["time", "actor", "event", "subject", "reason"]
    assert archived[0] == str(last + 1)
    assert archived[3:] == ["admin", "version.archived", "(forced)", f"models/{version}/versions/1", "too", "old"]
    assert updated[3:] == ["admin", "model.updated", f"models/{version}"]
    assert done.stderr == ""
    documents = cli.json("events", "--after", str(last))
    assert [document["sequence"] for document in documents] == [f"{last + 1:020d}", f"{last + 2:020d}"]
    assert documents[0]["data"]["after"][f"models/{version}/versions/1"]["stage"] == "archived"
    some = cli("events", "--limit", "4")
    assert some.stderr == "there may be more events: to show them, use --after 4\n"
    assert [line.split()[0] for line in some.stdout.splitlines()[2:]] == ["1", "2", "3", "4"]
    assert cli.json("events", "--after", str(last + 2)) == []


@given(st.lists(st.none() | st.floats(-1e15, 1e15) | st.integers(-(10**6), 10**6)))
def test_decimal_points_stand_in_one_column(numbers: list[float | None]) -> None:
    """Every number has all its digits, and all lines have the same length."""
    lines = show.align(numbers)
    assert [line.strip() for line in lines] == ["" if n is None else show.number(n) for n in numbers]
    assert len({len(line) for line in lines if line}) <= 1
    ends: Callable[[str], int] = lambda line: line.find(".") if "." in line else len(line.rstrip())  # noqa: E731
    assert len({ends(line) for line in lines if line}) <= 1
