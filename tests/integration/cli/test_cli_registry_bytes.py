"""`registry download`, `registry blobs` and the progress bars of transfers."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from common_lib import HttpRegistry, RegistryConfig
from common_lib.cli.progress import Bars, bars
from tests.support.cli import Cli

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm"}


def test_a_download_without_a_folder_prints_the_folder_in_the_cache(cli: Cli, version: str, cache: Path) -> None:
    """Standard output has only the folder, so that a script can use it."""
    done = cli("download", f"models:/{version}/1")
    folder = Path(done.stdout.removesuffix("\n"))
    assert folder.is_relative_to(cache)
    assert (folder / "weights.json").read_text() == '{"w": [0.25]}'
    assert not (folder / "weights.json").stat().st_mode & 0o222
    assert done.stderr == f"models:/{version}/1: 2 files, 19 bytes, verified\n"
    assert cli.json("download", f"models:/{version}/latest")["folder"] == str(folder)


def test_a_fetched_version_is_available_offline(cli: Cli, version: str, tmp_path: Path) -> None:
    """A reference resolves to the version of its last fetch; no request is sent, so no token is needed."""
    folder = cli("download", f"models:/{version}/latest").stdout
    offline = cli._replace(token="")
    for reference in (f"models:/{version}/latest", f"models:/{version}/1"):
        assert offline("download", reference, "--offline").stdout == folder
    offline("download", f"models:/{version}/1", "--offline", "--to", tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "a note"
    problem = offline.problem("download", f"models:/{version}@champion", "--offline", status=3)
    assert problem["code"] == "not_cached"
    assert "--offline" in problem["remedy"]


def test_bytes_are_verified_by_their_digest_and_by_their_version(cli: Cli, version: str) -> None:
    """The output has a line for each file of the version."""
    found = cli.json("blobs", "verify", "--model", f"{version}/latest")
    assert [each["sound"] for each in found] == [True, True]
    output = cli("blobs", "verify", "--model", f"models:/{version}/1").stdout
    assert output.count("✓") == 2
    assert "weights.json" in output
    (one,) = cli.json("blobs", "verify", found[0]["blob"]["sha256"])
    assert one == found[0]
    assert cli.problem("blobs", "verify", "0" * 64, status=3)["code"] == "blob_not_found"
    assert cli.problem("blobs", "verify", "short", status=2)["code"] == "invalid_digest"


def test_damaged_bytes_end_with_status_6_until_they_are_sent_again(
    cli: Cli, version: str, tmp_path: Path, cache: Path
) -> None:
    """Damaged bytes are listed and no longer served; an upload of the same bytes restores them."""
    cli("download", f"models:/{version}/1", "--to", tmp_path / "copy")
    files = cli.json("versions", "show", version, "1")["files"]
    sha256 = next(entry["sha256"] for entry in files if entry["path"] == "weights.json")
    blob = cli.data / "blobs" / "sha256" / sha256[:2] / sha256
    blob.chmod(0o600)
    blob.write_bytes(b"x" * blob.stat().st_size)
    done = cli("blobs", "verify", "--model", f"{version}/1", status=6)
    (wrong,) = (line for line in done.stdout.splitlines() if "✗" in line)
    assert wrong.split()[-1] == "weights.json"
    assert "1 damaged blob: PUT the same bytes to /v1/blobs/SHA256 again" in done.stderr
    cli("download", f"models:/{version}/1")  # this machine has them still
    shutil.rmtree(cache)
    problem = cli.problem("download", f"models:/{version}/1", "--to", tmp_path / "out", status=6)
    assert problem["code"] == "blob_damaged"
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token)) as registry:
        registry.artifacts.put_blob(sha256, tmp_path / "copy" / "weights.json")
    assert cli.json("blobs", "verify", sha256)[0]["sound"] is True
    cli("download", f"models:/{version}/1", "--to", tmp_path / "out")


def test_the_version_to_verify_can_be_an_alias(cli: Cli, version: str) -> None:
    """The alias is written as in a reference."""
    cli("aliases", "set", version, "champion", "1")
    assert len(cli.json("blobs", "verify", "--model", f"{version}@champion")) == 2


def test_everything_is_verified_at_once(cli: Cli, model: str, trained: Path) -> None:
    """Files of tombstoned versions are verified too; restored bytes are intact again."""
    for name in ("notes.txt", "weights.json"):
        (trained / name).write_text(f'["{model} {name}"]')
    cli("versions", "register", model, trained, "--framework", "test")
    cli("versions", "tombstone", model, "1", "--reason", "wrong", "--force")
    files = {entry["sha256"]: entry["path"] for entry in cli.json("versions", "show", model, "1")["files"]}
    blobs = {path: cli.data / "blobs" / "sha256" / sha256[:2] / sha256 for sha256, path in files.items()}
    whole = {path: blob.read_bytes() for path, blob in blobs.items()}
    for blob in blobs.values():
        blob.unlink()
    done = cli("blobs", "verify", "--all", "--json", status=6)
    assert {one["blob"]["sha256"] for one in json.loads(done.stdout) if not one["sound"]} >= set(files)
    assert f"{model}/1: notes.txt" in cli("blobs", "verify", "--all", status=6).stdout
    for path, blob in blobs.items():
        blob.write_bytes(whole[path])
    found = {each["blob"]["sha256"]: each for each in cli.json("blobs", "verify", "--all")}
    assert all(found[sha256]["sound"] and found[sha256]["blob"]["quarantined_at"] is None for sha256 in files)


@pytest.mark.parametrize(
    "arguments", [[], ["0" * 64, "--model", "eurusd/1"], ["0" * 64, "--all"], ["--all", "--model", "eurusd/1"]]
)
def test_verify_takes_exactly_one_of_digest_version_and_all(cli: Cli, arguments: list[str]) -> None:
    """Any other combination is a usage error."""
    assert "pass exactly one of these" in cli("blobs", "verify", *arguments, status=2).stderr


def test_progress_is_displayed_on_a_terminal_only(cli: Cli, model: str, trained: Path, tmp_path: Path) -> None:
    """Uploads and downloads have progress bars; in a pipe and with --json nothing is written."""
    (trained / "large.bin").write_bytes(b"\0" * 4_000_000)
    output = cli("versions", "register", model, trained, "--framework", "onnx", **TERMINAL).stderr
    assert "Hashing and sending" in output
    assert "/3.8 MiB" in output
    for place in ([], ["--to", tmp_path / "out"]):
        output = cli("download", f"models:/{model}/1", *place, **TERMINAL).stderr
        assert f"Downloading models:/{model}/1" in output
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert "Downloading" not in cli("download", f"models:/{model}/1").stderr
    assert cli("download", f"models:/{model}/1", "--json", **TERMINAL).stderr == ""


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=9), st.integers(0, 10**6), min_size=1, max_size=9))
def test_the_first_bar_is_the_sum_of_all_files(sizes: dict[str, int]) -> None:
    """Any thread may report; at the end no bar of a file is left, and a file reported again starts anew."""
    with Progress(console=Console(file=io.StringIO()), auto_refresh=False) as progress:
        files = Bars(progress, "Fetching")

        def arrive(file: tuple[str, int]) -> None:
            path, size = file
            for step in range(4):
                files.report(path, size * step // 3, size)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(arrive, sizes.items()))
        (everything,) = progress.tasks
        assert (everything.completed, everything.total) == (sum(sizes.values()), sum(sizes.values()))
        path, size = max(sizes.items(), key=lambda file: file[1])
        files.report(path, size // 2, size)
        assert (everything.completed, everything.total) == (size // 2, size)


def test_each_file_in_transfer_has_a_bar() -> None:
    """Control characters in the path of the file are escaped."""
    written = io.StringIO()
    console: Any = Console(file=written, force_terminal=True, width=70, color_system=None)
    with bars(console, "Fetching [bold]x[/]") as report:
        report("deep/\x1b[31mmodel.bin", 512, 2048)
        report("long/" * 50, 0, 1)
    assert "Fetching [bold]x[/]" in written.getvalue()
    assert r"deep/\x1b[31mmodel.bin" in written.getvalue()
    assert "0.5/2.0 KiB" in written.getvalue()
