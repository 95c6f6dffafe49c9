"""Files that would run code or fill memory are refused before they are deserialised.

Each file is loaded in a separate process with an audit hook, which records what the interpreter does. No deserialiser
is imported, only the verification opens the file, nothing is unpickled, and no process is started.
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

# Loads the version that tests.support.local_versions made in the folder, and prints the audited events.
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
audited, opened, listening = [], [], True
before = set(sys.modules)
def hear(event, arguments):
    if not listening:
        return
    name = str(arguments[0]) if arguments else ""
    if event in ACTS or (event == "import" and name in LIBRARIES):
        audited.append([event, name])
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
# importlib.import_module raises no audit event.
audited += [["import", name] for name in sorted((set(sys.modules) - before) & LIBRARIES)]
print(json.dumps({"outcome": outcome, "audited": audited, "opened": opened}))
"""


class Attempt(NamedTuple):
    """The outcome of a load in a separate process."""

    kind: str
    text: str
    audited: list[list[str]]
    opened: list[list[str]]


class Payload:
    """The code that a pickle runs: it creates a marker file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self._mark}'",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the path of the marker file that a payload would create."""
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
    report = json.loads(done.stdout)
    return Attempt(*report["outcome"], report["audited"], report["opened"])


def assert_untouched(found: Attempt, mark: Path, *, opens: int) -> None:
    """Check that the file was refused, and opened at most `opens` times, by the verification only."""
    assert found.kind == "LoadRefused", found
    assert found.audited == []
    assert not mark.exists()
    assert len(found.opened) <= opens
    assert all(Path(place).name in {"loading.py", "<frozen os>", "os.py"} for _, place in found.opened), found.opened


def torch_zip(mark: Path, *, extra: str = "") -> bytes:
    """Make a torch file with a payload, as `torch.save` writes it; before torch 2.6 `weights_only` did not stop it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Payload(mark), 2))
        file.writestr("archive/version", "3\n")
        if extra:
            file.writestr(extra, "{}")
    return made.getvalue()


def object_array(mark: Path) -> bytes:
    """Make an array of objects as numpy writes it: its data is a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(Payload(mark), 2)


def test_the_payload_runs_with_trust(tmp_path: Path, mark: Path) -> None:
    """The payload runs if the caller trusts the file, so the other tests would detect it."""
    made = make_local_version(tmp_path / "v", {"model.pkl": pickle.dumps(Payload(mark))})
    load(made, trust={made.version.digest})
    assert mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_opened(tmp_path: Path, mark: Path, protocol: int) -> None:
    """A202: without trust, a file with os.system by REDUCE is not opened at all, for each protocol."""
    body = pickle.dumps(Payload(mark), protocol)
    found = attempt(tmp_path / "v", {"model.pkl": body})
    assert_untouched(found, mark, opens=0)
    assert f"pass its digest as `trust`: 'sha256:{hashlib.sha256(body).hexdigest()}'" in found.text


@pytest.mark.parametrize("suffix", SAFE)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_a_safe_name_is_recognised(tmp_path: Path, mark: Path, suffix: str, protocol: int) -> None:
    """A202: a pickle is refused under the name of each safe format."""
    found = attempt(tmp_path / "v", {f"model.{suffix}": pickle.dumps(Payload(mark), protocol)})
    assert_untouched(found, mark, opens=1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_joblib_file_with_the_suffix_of_skops_is_refused(
    tmp_path: Path, mark: Path, pack: Callable[[bytes], bytes]
) -> None:
    """A204: a joblib file is refused, plain and compressed."""
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
    """A206: a torch file is refused with any suffix, also with the files of a skops archive beside the pickle."""
    assert_untouched(attempt(tmp_path / "v", {name: torch_zip(mark, extra=extra)}), mark, opens=opens)


@pytest.mark.parametrize("name", ["model.safetensors", "model.skops", "model.onnx", "model.json", "model.npy"])
def test_an_array_of_objects_is_refused(tmp_path: Path, mark: Path, name: str) -> None:
    """A208: no loader reads numpy arrays, whatever the name of the file."""
    assert_untouched(attempt(tmp_path / "v", {name: object_array(mark)}), mark, opens=1)
    found = attempt(tmp_path / "w", {name: object_array(mark)}, loaders=["numpy", "npy"])
    assert_untouched(found, mark, opens=1)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001, 0])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, mark: Path, length: int) -> None:
    """A210: the client allocates no memory for such a header."""
    found = attempt(tmp_path / "v", {"model.safetensors": struct.pack("<Q", length) + b"{}"})
    assert_untouched(found, mark, opens=1)
    assert str(length) in found.text


@pytest.mark.parametrize("name", ["model.safetensors", "model", "model.pkl", "model.bin"])
def test_a_pickle_declared_as_safetensors_is_refused(tmp_path: Path, mark: Path, name: str) -> None:
    """A212: the name of the file does not matter."""
    types = {name: "application/vnd.safetensors"}
    found = attempt(tmp_path / "v", {name: pickle.dumps(Payload(mark))}, types=types)
    assert_untouched(found, mark, opens=1)


def test_a_folder_with_other_files_than_the_manifest_is_refused(tmp_path: Path, mark: Path) -> None:
    """A214: no file in such a folder is opened."""
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
    """Create a distribution with a loader whose import creates the marker file."""
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
    """A216: neither the suffix nor the media type causes its import."""
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
    """An allowed loader gets only bytes that it accepts and that are not a pickle."""
    path = planted(tmp_path / "site", mark)
    bad = attempt(tmp_path / "a", {"model.acme": pickle.dumps(Payload(mark))}, path=path, loaders=["acme"])
    assert_untouched(bad, mark, opens=1)
    found = attempt(tmp_path / "b", {"model.acme": b"ACME1"}, path=path, loaders=["acme"])
    assert found.kind == "loaded"
    assert ["import", "acme_loader"] in found.audited
    assert mark.exists()
    other = attempt(tmp_path / "c", {"model.acme": b"else"}, path=path, loaders=["acme"])
    assert "it is not of Acme" in other.text


def test_a_built_in_loader_cannot_be_replaced(tmp_path: Path, mark: Path) -> None:
    """A loader of another distribution with a built-in name is not imported, and the built-in loader still works."""
    path = planted(tmp_path / "site", mark, name="json")
    found = attempt(tmp_path / "v", {"model.json": b"{}"}, path=path)
    assert (found.kind, found.audited) == ("loaded", [])
    assert not mark.exists()


def test_trust_applies_to_one_digest_only(tmp_path: Path, mark: Path) -> None:
    """Another version, another file, and an allow-list without the loader are refused."""
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
    """Trust applies to a digest, and the client hashes the bytes again before it loads them."""
    made = make_local_version(
        tmp_path / "v", {"model.pkl": pickle.dumps("an honest model of much the same length" * 3)}
    )
    (made.folder / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(LoadRefused, match="SHA-256"):
        load(made, trust={made.version.digest})
    assert not mark.exists()


def test_a_pipe_in_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    """The client refuses a named pipe at once."""
    made = make_local_version(tmp_path / "v", {"model.json": b"{}"})
    (made.folder / "model.json").unlink()
    os.mkfifo(made.folder / "model.json")
    with pytest.raises(LoadRefused):
        load(made)
