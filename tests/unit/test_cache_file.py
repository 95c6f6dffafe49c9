"""The cache file, shared by the processes of one principal."""

import json
import os
from pathlib import Path

import pytest

from common_lib.client.cache_file import CacheFile
from common_lib.errors import ConnectionFailed, RegistryUnavailable
from common_lib.operations import versions
from tests.support.answers import problem_answer, version_answer
from tests.support.cached_client import CUT, GONE, RESOLVE, CachedClient


def test_a_new_process_starts_with_the_answers_of_the_last_one(tmp_path: Path) -> None:
    """The file gives their age, so that the first resolve in an outage is answered."""
    client = CachedClient(lambda: version_answer(1), file=tmp_path / "resolves" / "one")
    client.call()
    assert client.saves == 1
    client.wait(3_600)
    client.now = 5.0  # the monotonic clock of another process
    client.restart()
    client.answer = lambda: CUT
    answer = client.call()
    assert (RESOLVE.result(answer).version, answer.provenance.source) == (1, "disk-cache")
    assert answer.provenance.age_s == pytest.approx(3_600, abs=11)
    assert (tmp_path / "resolves" / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "resolves").stat().st_mode & 0o777 == 0o700
    assert [file.name for file in (tmp_path / "resolves").iterdir()] == ["one"]


def test_the_file_is_saved_every_few_seconds_and_at_the_end(tmp_path: Path) -> None:
    """It is written only if something has changed."""
    client = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    operations = [versions.resolve(f"models:/eurusd@other{number}") for number in (1, 2, 3)]
    for operation in operations[:2]:
        client.call(operation)
    assert client.saves == 1
    client.wait(5)
    client.call(operations[2])
    assert client.saves == 2
    before = (tmp_path / "one").stat().st_ino
    client.cache.save()
    assert (tmp_path / "one").stat().st_ino == before


def test_processes_share_the_file(tmp_path: Path) -> None:
    """Each adds its answers; an answer that one of them found refused or changed does not return."""
    one = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    two = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    mine, yours = versions.resolve("models:/eurusd@other1"), versions.resolve("models:/eurusd@other2")
    one.call(mine)
    two.call(yours)
    third = CachedClient(lambda: CUT, file=tmp_path / "one")
    assert [third.resolve(operation)[0] for operation in (mine, yours)] == [1, 1]
    one.wait(61)
    one.answer = lambda: GONE
    one.call(mine)
    one.cache.save()
    third.restart()
    assert third.resolve(yours)[0] == 1
    with pytest.raises(ConnectionFailed):
        third.call(mine)


def test_a_process_that_missed_a_recall_does_not_undo_it(tmp_path: Path) -> None:
    """An answer from before the refusal is not restored by a later save, also for the same path."""
    one = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    two = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    for client in (one, two):
        client.call()
        client.wait(61)
    one.answer = lambda: problem_answer(410, "version_recalled")
    one.call()
    one.cache.save()
    two.call(versions.resolve("models:/eurusd@other2"))
    two.cache.save()
    three = CachedClient(lambda: CUT, file=tmp_path / "one")
    three.wait(62)
    three.restart()
    with pytest.raises(ConnectionFailed):
        three.call()
    for client in (one, two):
        client.wait(1)
    two.answer = lambda: version_answer(3)
    two.call()
    two.cache.save()
    one.call(versions.resolve("models:/eurusd@other2"))
    one.cache.save()
    three.restart()
    assert three.resolve()[0] == 3


def test_the_latest_answer_wins_in_any_order_of_saves(tmp_path: Path) -> None:
    """A process that saves later does not overwrite it with its older answer."""
    one = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    two = CachedClient(lambda: version_answer(2), file=tmp_path / "one")
    one.call()
    for client in (one, two):
        client.wait(61)
    two.call()
    one.call(versions.resolve("models:/eurusd@other7"))
    one.cache.save()
    two.restart()
    two.answer = lambda: CUT
    assert two.resolve()[0] == 2


def test_a_principal_does_not_read_the_answers_of_another_one(tmp_path: Path) -> None:
    """Neither from the same file, nor from the default one, whose name depends on the token."""
    client = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    client.call()
    client.restart("two")
    client.answer = lambda: CUT
    with pytest.raises(ConnectionFailed):
        client.call()
    ours, theirs = (CacheFile.default("http://x", token) for token in ("one", "two"))
    assert ours is not None
    assert theirs is not None
    assert ours.path != theirs.path


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "json", "missing", "pipe", "folder"])
def test_a_damaged_file_is_treated_as_missing(tmp_path: Path, damage: str) -> None:
    """None of it is used, and a pipe in its place does not block."""
    place = tmp_path / "resolves.json"
    client = CachedClient(lambda: version_answer(1), file=place)
    client.call()
    whole = place.read_bytes()
    changed = {
        "flip": whole.replace(b": 1,", b": 7,"),
        "cut": whole[:-1],
        "empty": b"",
        "json": json.dumps([1]).encode(),
    }
    place.unlink()
    if damage == "pipe":
        os.mkfifo(place)
    elif damage == "folder":
        place.mkdir()
    elif damage != "missing":
        place.write_bytes(changed[damage])
        assert changed[damage] != whole
    client.restart()
    client.answer = lambda: CUT
    with pytest.raises(RegistryUnavailable):
        client.call()


def test_a_file_that_cannot_be_written_causes_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The calls succeed."""
    (tmp_path / "file").touch()
    client = CachedClient(lambda: version_answer(1), file=tmp_path / "file" / "resolves")
    for _ in range(3):
        assert client.resolve()[0] == 1
        client.wait(61)
    assert [record.message.count("cannot be written") for record in caplog.records] == [1]


def test_an_answer_from_the_future_is_not_fresh(tmp_path: Path) -> None:
    """After the clock was set back, it is revalidated, and served only if the registry does not answer."""
    client = CachedClient(lambda: version_answer(1), file=tmp_path / "one")
    client.call()
    client.wall_time -= 3_600
    client.restart()
    client.answer = lambda: version_answer(2)
    assert client.resolve() == (2, False, "registry")
    client.wall_time -= 3_600
    client.restart()
    client.answer = lambda: CUT
    assert client.resolve() == (2, True, "disk-cache")
