"""Files that would run code or fill memory when they are read are refused before anything reads them.

Each is loaded in a process of its own whose audit hook hears what the interpreter does. No deserialiser is imported,
nobody but the verification opens the file, nothing is unpickled and nothing is started.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from common_lib.artifacts.loading import convert, load
from common_lib.errors import LoadRefused
from tests.support.local_versions import make_local_version

ROOT = Path(__file__).parents[2]
SAFE = ["skops", "safetensors", "onnx", "ubj", "xgb.json", "lgb.txt", "json"]

# Loads what stands in the folder as tests.support.local_versions made it, and reports what the hook heard.
CHILD = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from common_lib.artifacts.loading import load
from common_lib.errors import RegistryError
from tests.support.local_versions import make_local_version
folder, given = Path(sys.argv[2]), json.loads(sys.argv[3])
files = {path: (folder / path).read_bytes() for path in given["files"]}
made = make_local_version(folder, files, given["types"])
for path in given["vanish"]:
    (folder / path).unlink()
for path, text in given["appear"].items():
    (folder / path).write_text(text)
LIBRARIES = {"pickle", "joblib", "skops", "sklearn", "numpy", "torch", "safetensors", "onnxruntime", "xgboost",
             "lightgbm", "common_lib.loaders.skops", "acme_loader"}
ACTS = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
heard, opened, listening = [], [], True
before = set(sys.modules)
def hear(event, arguments):
    if not listening:
        return
    name = str(arguments[0]) if arguments else ""
    if event in ACTS or (event == "import" and name in LIBRARIES):
        heard.append([event, name])
    if event == "open" and name.startswith(str(folder)):
        opened.append([name, sys._getframe(1).f_code.co_filename])
sys.addaudithook(hear)
options = {} if given["loaders"] is None else {"loaders": given["loaders"]}
try:
    load(made, file=given["file"], **options)
    outcome = ["loaded", ""]
except RegistryError as error:
    outcome = [type(error).__name__, str(error)]
listening = False
# importlib.import_module tells no hook.
heard += [["import", name] for name in sorted((set(sys.modules) - before) & LIBRARIES)]
print(json.dumps({"outcome": outcome, "heard": heard, "opened": opened}))
"""


class Attempt(NamedTuple):
    """What a load in a process of its own came to."""

    kind: str
    text: str
    heard: list[list[str]]
    opened: list[list[str]]


class Payload:
    """What a pickle runs: it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self._mark}'",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where a payload that ran would have left its mark."""
    return tmp_path / "mark"


def attempt(
    folder: Path,
    files: dict[str, bytes],
    *,
    types: dict[str, str] | None = None,
    file: str | None = None,
    vanish: tuple[str, ...] = (),
    appear: dict[str, str] | None = None,
    loaders: list[str] | None = None,
    path: Path | None = None,
) -> Attempt:
    """Load these files as a version, in a fresh interpreter with an audit hook."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    given = {"files": list(files), "types": types or {}, "file": file, "vanish": vanish, "appear": appear or {}}
    given["loaders"] = loaders
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(folder), json.dumps(given)],
        env={**os.environ, "PYTHONPATH": str(path or "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Attempt(*told["outcome"], told["heard"], told["opened"])


def assert_untouched(found: Attempt, mark: Path, *, opens: int) -> None:
    """It was refused, and nothing was read but by the verification; `opens` is how often that may be."""
    assert found.kind == "LoadRefused", found
    assert found.heard == []
    assert not mark.exists()
    assert len(found.opened) <= opens
    assert all(Path(place).name in {"loading.py", "<frozen os>", "os.py"} for _, place in found.opened), found.opened


def torch_zip(mark: Path, *, extra: str = "") -> bytes:
    """A file of torch, as `torch.save` writes it, with a payload; `weights_only` was no wall before torch 2.6."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Payload(mark), 2))
        file.writestr("archive/version", "3\n")
        if extra:
            file.writestr(extra, "{}")
    return made.getvalue()


def object_array(mark: Path) -> bytes:
    """An array of objects as numpy writes it, its data being a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(Payload(mark), 2)


def test_the_payload_is_alive(tmp_path: Path, mark: Path) -> None:
    """Trusted, it runs: the other tests would notice."""
    made = make_local_version(tmp_path / "v", {"model.pkl": pickle.dumps(Payload(mark))})
    load(made, trust={made.version.digest})
    assert mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_opened(tmp_path: Path, mark: Path, protocol: int) -> None:
    """A202: os.system by REDUCE, in all protocols; nobody trusts it, so not even the verification opens it."""
    body = pickle.dumps(Payload(mark), protocol)
    found = attempt(tmp_path / "v", {"model.pkl": body})
    assert_untouched(found, mark, opens=0)
    assert f"trust its digest, 'sha256:{hashlib.sha256(body).hexdigest()}'" in found.text


@pytest.mark.parametrize("suffix", SAFE)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_a_safe_name_is_recognised(tmp_path: Path, mark: Path, suffix: str, protocol: int) -> None:
    """A202, as every safe format."""
    found = attempt(tmp_path / "v", {f"model.{suffix}": pickle.dumps(Payload(mark), protocol)})
    assert_untouched(found, mark, opens=1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_joblib_in_the_name_of_skops(tmp_path: Path, mark: Path, pack: Callable[[bytes], bytes]) -> None:
    """A204, as it is and compressed."""
    found = attempt(tmp_path / "v", {"model.skops": pack(pickle.dumps(Payload(mark)))})
    assert_untouched(found, mark, opens=1)
    assert "declared as skops" in found.text
    named = attempt(tmp_path / "w", {"model.joblib": pack(pickle.dumps(Payload(mark)))})
    assert_untouched(named, mark, opens=0)


@pytest.mark.parametrize(
    ("name", "extra", "opens"),
    [
        ("model.pt", "", 0),
        ("model.pth", "", 0),
        ("model.skops", "", 1),
        ("model.skops", "schema.json", 1),
        ("model.safetensors", "", 1),
    ],
)
def test_torch_is_not_opened(tmp_path: Path, mark: Path, name: str, extra: str, opens: int) -> None:
    """A206: under its own name and under others, also with what a skops file needs beside the pickle."""
    assert_untouched(attempt(tmp_path / "v", {name: torch_zip(mark, extra=extra)}), mark, opens=opens)


@pytest.mark.parametrize("name", ["model.safetensors", "model.skops", "model.onnx", "model.json", "model.npy"])
def test_an_array_of_objects(tmp_path: Path, mark: Path, name: str) -> None:
    """A208: there is no loader for arrays of numpy, under any name."""
    assert_untouched(attempt(tmp_path / "v", {name: object_array(mark)}), mark, opens=1)
    found = attempt(tmp_path / "w", {name: object_array(mark)}, loaders=["numpy", "npy"])
    assert_untouched(found, mark, opens=1)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001, 0])
def test_a_header_longer_than_the_file(tmp_path: Path, mark: Path, length: int) -> None:
    """A210: no memory is set aside for it."""
    found = attempt(tmp_path / "v", {"model.safetensors": struct.pack("<Q", length) + b"{}"})
    assert_untouched(found, mark, opens=1)
    assert str(length) in found.text


@pytest.mark.parametrize("name", ["model.safetensors", "model", "model.pkl", "model.bin"])
def test_the_manifest_says_safetensors_and_the_bytes_are_a_pickle(tmp_path: Path, mark: Path, name: str) -> None:
    """A212: whatever its name is."""
    types = {name: "application/vnd.safetensors"}
    found = attempt(tmp_path / "v", {name: pickle.dumps(Payload(mark))}, types=types)
    assert_untouched(found, mark, opens=1)


def test_a_file_more_or_less_than_the_manifest_lists(tmp_path: Path, mark: Path) -> None:
    """A214: the folder is not the version, so nothing of it is opened."""
    files = {"model.json": b"{}", "weights.bin": b"1"}
    missing = attempt(tmp_path / "v", files, vanish=("weights.bin",))
    assert_untouched(missing, mark, opens=0)
    assert "'weights.bin' is missing" in missing.text
    extra = attempt(tmp_path / "w", files, appear={"model.pkl": "x"})
    assert_untouched(extra, mark, opens=0)
    assert "'model.pkl' is in the folder but not in the manifest" in extra.text
    changed = attempt(tmp_path / "x", files, appear={"model.json": "[]"})
    assert_untouched(changed, mark, opens=1)
    assert "SHA-256" in changed.text


def planted(folder: Path, mark: Path, *, name: str = "acme") -> Path:
    """A distribution with a loader whose import leaves a mark."""
    about = folder / "acme-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[model_registry.loaders]\n{name} = acme_loader\n")
    (folder / "acme_loader.py").write_text(
        textwrap.dedent(f"""
            open({str(mark)!r}, "w").close()
            def fault(content):
                return None if content.startswith(b"ACME") else "it is not of Acme"
            def load(content):
                return content[4:].decode()
        """)
    )
    return folder


def test_a_loader_that_is_not_allowed_is_not_imported(tmp_path: Path, mark: Path) -> None:
    """A216: neither by the suffix nor by the media type that it serves."""
    path = planted(tmp_path / "site", mark)
    types = {"model.bin": "application/vnd.acme"}
    for number, found in enumerate(
        (
            attempt(tmp_path / "a", {"model.acme": b"ACME1"}, path=path),
            attempt(tmp_path / "b", {"model.acme": b"ACME1"}, path=path, file="model.acme"),
            attempt(tmp_path / "c", {"model.bin": b"ACME1"}, path=path, types=types),
        )
    ):
        assert_untouched(found, mark, opens=0)
        assert "'acme'" in found.text, number


def test_a_loader_that_is_allowed_is_used(tmp_path: Path, mark: Path) -> None:
    """By its name, and only for bytes that are not those of a pickle and that it knows."""
    path = planted(tmp_path / "site", mark)
    bad = attempt(tmp_path / "a", {"model.acme": pickle.dumps(Payload(mark))}, path=path, loaders=["acme"])
    assert_untouched(bad, mark, opens=1)
    found = attempt(tmp_path / "b", {"model.acme": b"ACME1"}, path=path, loaders=["acme"])
    assert found.kind == "loaded"
    assert ["import", "acme_loader"] in found.heard
    assert mark.exists()
    other = attempt(tmp_path / "c", {"model.acme": b"else"}, path=path, loaders=["acme"])
    assert "it is not of Acme" in other.text


def test_a_name_of_ours_cannot_be_taken(tmp_path: Path, mark: Path) -> None:
    """Another distribution's loader named as one of ours is not imported, and ours still works."""
    path = planted(tmp_path / "site", mark, name="json")
    found = attempt(tmp_path / "v", {"model.json": b"{}"}, path=path)
    assert (found.kind, found.heard) == ("loaded", [])
    assert not mark.exists()


def test_no_trust_reaches_beyond_its_digest(tmp_path: Path, mark: Path) -> None:
    """Another version, another file, or an allow-list without the loader: refused."""
    made = make_local_version(tmp_path / "v", {"model.pkl": pickle.dumps(Payload(mark)), "other.pkl": pickle.dumps(1)})
    (mine, other) = (f"sha256:{entry.sha256}" for entry in made.manifest.files)
    for trust in (None, set(), {other}, {"0" * 64}, lambda _: "yes"):
        with pytest.raises(LoadRefused):
            load(made, file="model.pkl", trust=trust)  # type: ignore[arg-type]
    with pytest.raises(LoadRefused):
        load(made, file="model.pkl", trust={mine}, loaders={"skops"})
    with pytest.raises(LoadRefused):
        convert(made, tmp_path / "out", file="model.pkl", trust={other})
    assert not mark.exists()
    assert load(made, file="other.pkl", trust={other}) == 1


def test_trusted_bytes_that_were_exchanged_are_not_loaded(tmp_path: Path, mark: Path) -> None:
    """Trust is in a digest, and the bytes are hashed again."""
    made = make_local_version(
        tmp_path / "v", {"model.pkl": pickle.dumps("an honest model of much the same length" * 3)}
    )
    (made.folder / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(LoadRefused, match="SHA-256"):
        load(made, trust={made.version.digest})
    assert not mark.exists()


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    """It is refused at once."""
    made = make_local_version(tmp_path / "v", {"model.json": b"{}"})
    (made.folder / "model.json").unlink()
    os.mkfifo(made.folder / "model.json")
    with pytest.raises(LoadRefused):
        load(made)
