"""The jobs of the child processes."""

import random
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final
from unittest import mock

from common_lib import Cache, HttpRegistry, RegistryConfig
from common_lib.artifacts import hashing, upload
from common_lib.errors import RegistryUnavailable
from tests.crash import clients, worlds
from tests.crash.calls import Recorder, count, kill, recorded
from tests.crash.faults import planted
from tests.crash.nursery import report_to_parent
from tests.crash.power import END, cut
from tests.crash.scenarios import SCENARIOS

HOW: Final = {"kill": kill, "cut": cut}


def serve(scenario: str, data: str, number: int, how: str, fault: str = "") -> None:
    """Run a scenario and end the process at the call of that number, or at the end."""
    recorder = Recorder(Path(data), count(number, HOW[how]))
    prepare, act, _ = SCENARIOS[scenario]
    with planted(fault):
        report, end = (lambda sha256: report_to_parent(acknowledged=sha256)), (lambda: HOW[how](recorder, END))
        worlds.run(Path(data), prepare, act, recorder=recorder, acknowledged=report, then=end)


def fetch(way: str, root: str, number: int, fault: str = "") -> None:
    """Fetch into a cache or a folder, and end the process at the call of that number."""
    recorder = Recorder(Path(root), count(number, kill))
    with ExitStack() as stack:
        stack.enter_context(planted(fault))
        registry = stack.enter_context(clients.registry())
        stack.enter_context(recorded(recorder))
        clients.WAYS[way](registry, Path(root))


def busy(url: str, token: str, seed: int, cache: str) -> None:
    """Register small files and large ones in parts, and fetch them, until this process or the server is killed."""
    chance = random.Random(seed)
    config = RegistryConfig(url=url, token=token, attempts=1)
    with ExitStack() as stack:
        for module, name in ((hashing, "PART_BYTES"), (upload, "PART_BYTES"), (hashing, "_CHUNK")):
            stack.enter_context(mock.patch.object(module, name, 4096))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        registry = stack.enter_context(HttpRegistry(config))
        registry.models.get("killed")
        report_to_parent(ready=True)
        stack.enter_context(suppress(RegistryUnavailable))
        while True:
            _turn(registry, chance, folder / "model.bin", Cache(Path(cache)))


def _turn(registry: HttpRegistry, chance: random.Random, file: Path, cache: Cache) -> None:
    content = chance.randbytes(chance.choice((100, 20_000)))
    file.write_bytes(content)
    version = registry.register("killed", file, framework="test")
    report_to_parent(acknowledged=f"{version.version}:{worlds.digest(content)}")
    found = registry.fetch(f"models:/killed/{chance.randint(1, version.version)}", cache=cache)
    (entry,) = found.manifest.files
    assert worlds.digest((found.folder / entry.path).read_bytes()) == entry.sha256


JOBS: Final[dict[str, Any]] = {"serve": serve, "fetch": fetch, "busy": busy}
