"""The memory of a load is bounded, and computed from the bytes before memory is allocated."""

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from common_lib.artifacts.loading import load
from common_lib.errors import InvalidConfiguration, LoadRefused
from tests.fuzz.boosters import lightgbm_models, module, xgboost_models
from tests.support.local_versions import make_local_version

ROOT = Path(__file__).parents[2]
MIB = 2**20

# Loads each file of a folder, and prints by how much the load raised the peak memory.
CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from common_lib.errors import LoadRefused, LibraryMissing
from common_lib.artifacts.loading import load
from tests.support.local_versions import make_local_version
import numpy, skops.io, safetensors.numpy, sklearn.linear_model
def peak(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
grown = {}
for folder in sorted(Path(sys.argv[2]).iterdir()):
    (file,) = folder.iterdir()
    made = make_local_version(folder, {file.name: file.read_bytes()})
    Path("/proc/self/clear_refs").write_text("5")
    before = peak("VmRSS")
    try:
        load(made)
        outcome = "loaded"
    except (LoadRefused, LibraryMissing) as error:
        outcome = str(error)
    grown[folder.name] = [outcome, peak("VmHWM") - before]
print(json.dumps(grown))
"""


def node(kind: str, of: str, **more: Any) -> dict[str, Any]:
    """Build an entry of a skops schema."""
    package, _, name = of.rpartition(".")
    return {"__class__": name, "__module__": package, "__loader__": kind, **more}


def array(**more: Any) -> dict[str, Any]:
    """Build the schema entry of an array in the file `a.npy`."""
    return node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy", **more)


def list_node(*items: dict[str, Any]) -> dict[str, Any]:
    """Build the schema entry of a list."""
    return node("ListNode", "builtins.list", content=list(items))


def skops(schema: dict[str, Any], *, method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    """Build a skops archive; the names of its files have no suffix here."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
        archive.writestr("schema.json", json.dumps({**schema, "protocol": 2, "_skops_version": "0.16.0"}))
    return made.getvalue()


def zeros(size: int, kind: str = "u1") -> bytes:
    """Return an array file with the given number of zero bytes."""
    made = io.BytesIO()
    np.save(made, np.zeros(size // np.dtype(kind).itemsize, kind))
    return made.getvalue()


def matrix(size: int) -> bytes:
    """Return a sparse matrix file, which is itself a compressed archive."""
    made = io.BytesIO()
    sparse.save_npz(made, sparse.csr_matrix((np.zeros(size), np.zeros(size, int), np.array([0, size])), shape=(1, 1)))
    return made.getvalue()


def many_times() -> bytes:
    """Build an archive of 60 kB that refers 40 times to one array of 60 MiB."""
    return skops(list_node(*[array() for _ in range(40)]), a=zeros(60 * MIB))


def masks() -> bytes:
    """Build an archive with 40 masks of one array."""
    cached = node("CachedNode", "numpy.ndarray", __id__=1)
    mask = node("MaskedArrayNode", "numpy.ma.MaskedArray", content={"data": cached, "mask": cached})
    return skops(list_node(array(__id__=1), *[mask] * 40), a=zeros(60 * MIB))


def objects() -> bytes:
    """Build an archive that makes an object array from the numbers of an array."""
    shape = node("TupleNode", "builtins.tuple", content=[])
    unpacked = node("NdArrayNode", "numpy.ndarray", type="json", shape=shape, content=[array()])
    return skops(list_node(unpacked), a=zeros(40 * MIB))


def matrices() -> bytes:
    """Build an archive that refers 40 times to a sparse matrix, whose arrays are compressed inside it."""
    entry = node("SparseMatrixNode", "scipy.sparse.csr_matrix", type="scipy", file="a.npy")
    return skops(list_node(*[entry] * 40), a=matrix(MIB))


def entries() -> bytes:
    """Build an archive whose schema has many entries with almost no data."""
    return skops(list_node(*[list_node() for _ in range(40_000)]))


def message(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field of protobuf."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    rest, low = value >> 7, value & 0x7F
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def onnx(graph: bytes, more: bytes = b"") -> bytes:
    """Build an ONNX model with a graph."""
    version = message(8, b"\x0a\x00\x10\x0d")
    return b"\x08\x08" + message(7, graph) + version + more


def calls() -> bytes:
    """Build an ONNX model of 40 functions, each of which calls the previous one twice."""

    def function(number: int) -> bytes:
        called = message(4, f"f{number - 1}".encode()) + message(7, b"d")
        nodes = message(7, called) * 2 if number else message(7, message(4, b"Neg"))
        return message(25, message(1, f"f{number}".encode()) + nodes + message(10, b"d"))

    main = message(1, message(4, b"f39") + message(7, b"d"))
    return onnx(main, b"".join(map(function, range(40))))


def booster(change: Callable[[Any, Any], object]) -> bytes:
    """Change a valid XGBoost model; the change gets the model and its first tree."""
    made = json.loads(xgboost_models("json")[2])
    change(made["learner"], made["learner"]["gradient_booster"]["model"]["trees"][0])
    return json.dumps(made).encode()


def wide(learner: Any, tree: Any) -> None:
    """Set the number of features to four billion."""
    learner["learner_model_param"]["num_feature"] = str(2**32 - 1)
    learner["feature_types"] = []


def categories(learner: Any, tree: Any) -> None:
    """Add trees that each need a bit for 16 million categories."""
    forest = learner["gradient_booster"]["model"]
    tree.update(categories=[2**24 - 1], categories_sizes=[1])
    forest["trees"] = [{**tree, "id": number} for number in range(100)]
    forest["tree_info"] = [0] * 100
    forest["iteration_indptr"] = list(range(101))
    forest["gbtree_model_param"]["num_trees"] = "100"


def tensors() -> bytes:
    """Build a file with 100,000 tensors without elements."""
    about = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(f'"{number}":{about}' for number in range(100_000)) + "}").encode()
    return struct.pack("<Q", len(header)) + header


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "40 references to one array": ("model.skops", many_times),
    "masks of one array": ("model.skops", masks),
    "an object for each number": ("model.skops", objects),
    "40 references to one matrix": ("model.skops", matrices),
    "entries without data": ("model.skops", entries),
    "empty nodes": ("model.onnx", lambda: onnx(b"\x0a\x00" * 8_000_000)),
    "empty attributes": ("model.onnx", lambda: onnx(message(1, b"\x2a\x00" * 500_000))),
    "empty weights": ("model.onnx", lambda: onnx(b"\x2a\x00" * 300_000)),
    "functions that call each other": ("model.onnx", calls),
    "billions of features": ("model.xgb.json", lambda: booster(wide)),
    "16 million categories": ("model.xgb.json", lambda: booster(categories)),
    "objects in JSON": ("model.json", lambda: b"[" + b"{}," * 1_000_000 + b"{}]"),
    "lists in a model of XGBoost": ("model.xgb.json", lambda: b'{"learner":[' + b"[]," * 1_000_000 + b"[]]}"),
    "values in UBJSON": ("model.ubj", lambda: b"{L" + bytes(7) + b"\x07learner[" + b"Z" * 2_000_000 + b"]}"),
    "tensors without a number": ("model.safetensors", tensors),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_would_fill_memory_is_refused(tmp_path: Path, name: str) -> None:
    """The error states how much memory the load takes, the bound, and how to allow more."""
    path, content = BOMBS[name]
    with pytest.raises(LoadRefused, match=r"its load needs at least [0-9,]+ bytes of memory") as refused:
        load(make_local_version(tmp_path, {path: content()}), memory=100 * MIB)
    assert "pass memory=" in refused.value.remedy


def test_the_measured_memory_fits_the_count(tmp_path: Path) -> None:
    """Refusals take little memory besides the bytes; an allowed load takes no more than was counted."""
    fine = {
        "a": ("model.skops", skops(list_node(*[array() for _ in range(5)]), a=zeros(20 * MIB))),
        "b": ("model.json", b"[" + b"{}," * 1_000_000 + b"{}]"),
        "c": ("model.safetensors", struct.pack("<Q", 2) + b"{}"),
    }
    bombs = {"d": ("model.skops", many_times()), "e": ("model.onnx", onnx(b"\x0a\x00" * 8_000_000))}
    for name, (path, content) in (fine | bombs).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / path).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(found[name][0] == "loaded" for name in fine), found
    assert 100 * MIB < found["a"][1] < 512 * MIB
    assert 40 * MIB < found["b"][1] < 512 * MIB
    assert all("bytes of memory, with" in found[name][0] and found[name][1] < 200 * MIB for name in bombs), found


def test_more_is_allowed_by_argument_and_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument overrides the variable, and the variable overrides the default."""
    made = make_local_version(tmp_path, {"model.json": b"[" + b"1," * 100_000 + b"1]"})
    assert len(load(made)) == 100_001
    with pytest.raises(LoadRefused, match=r"the bound is 1,000,000"):
        load(made, memory=1_000_000)
    monkeypatch.setenv("REGISTRY_LOAD_MEMORY", "2000000")
    with pytest.raises(LoadRefused, match=r"the bound is 2,000,000"):
        load(made)
    assert len(load(made, memory=100_000_000)) == 100_001


def test_a_file_larger_than_the_bound_is_not_read(tmp_path: Path) -> None:
    """The client refuses the file by its size in the manifest."""
    made = make_local_version(tmp_path, {"model.txt": b"x" * 1_000})
    (tmp_path / "model.txt").write_bytes(b"other bytes, which no test reads")
    with pytest.raises(LoadRefused, match="its bytes; the bound is 999"):
        load(made, memory=999)


@pytest.mark.parametrize("memory", [0, -1, True, 1.5, "5"])
def test_a_bound_is_a_positive_whole_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: Any) -> None:
    """Any other bound raises an error that names the argument or the environment variable."""
    made = make_local_version(tmp_path, {"model.txt": b"x"})
    if memory != "5":
        with pytest.raises(InvalidConfiguration, match="memory is"):
            load(made, memory=memory)
    monkeypatch.setenv("REGISTRY_LOAD_MEMORY", f"{memory}x")
    with pytest.raises(InvalidConfiguration, match="REGISTRY_LOAD_MEMORY is"):
        load(made)


def memory_growth(act: Callable[[], object]) -> int:
    """Measure by how much a call raises the peak memory of this process."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    act()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def test_constants_of_onnx_are_not_computed_while_it_is_loaded(tmp_path: Path) -> None:
    """A model of 200 bytes can define a constant of any size; a caller can allow it for a trusted author."""
    helper = module("onnx").helper
    module("onnxruntime")
    size = helper.make_tensor("n", 7, [1], [2**26])
    nodes = [
        helper.make_node("Constant", [], ["n"], value=size),
        helper.make_node("ConstantOfShape", ["n"], ["c"]),
        helper.make_node("Neg", ["c"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, None) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    made = make_local_version(tmp_path, {"model.onnx": model.SerializeToString()})
    assert memory_growth(lambda: load(made)) < 100 * MIB
    assert memory_growth(lambda: load(made, fold_constants=True)) > 200 * MIB


def test_numbers_of_lightgbm_are_checked_without_filling_memory(tmp_path: Path) -> None:
    """A backtracking expression would take 100 bytes of memory for each byte of text."""
    lines = lightgbm_models()[0].decode().partition("\n\n")[0]
    tree = "Tree=0\nnum_leaves=2\nnum_cat=0\nleaf_value=" + "1 " * 4_000_000
    sizes = f"tree_sizes={len(tree)}"
    header = "\n".join(sizes if line.startswith("tree_sizes=") else line for line in lines.split("\n"))
    with pytest.raises(LoadRefused):
        load(make_local_version(tmp_path, {"model.lgb.txt": f"{header}\n\n{tree}".encode()}))


def empty(count: int, kind: str = "V0") -> bytes:
    """Return a file with the header of an array whose elements have no bytes, and without data."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": f"|{kind}", "fortran_order": False, "shape": (count,)})
    return made.getvalue()


def number(value: int) -> bytes:
    """Return a file of an array that has no dimensions and one number."""
    made = io.BytesIO()
    np.save(made, np.array(value))
    return made.getvalue()


def masked() -> bytes:
    """Build an archive with a masked array whose elements have no size."""
    cached = node("NdArrayNode", "numpy.ndarray", type="numpy", file="b.npy")
    mask = node("MaskedArrayNode", "numpy.ma.MaskedArray", content={"data": array(), "mask": cached})
    return skops(mask, a=empty(2**31), b=number(0))


TINY_BOMBS: dict[str, Callable[[], bytes]] = {
    "numpy.bytes_(2**31)": lambda: skops(
        list_node(*[node("NdArrayNode", "numpy.bytes_", type="numpy", file="a.npy") for _ in range(20)]),
        a=number(2**31),
    ),
    "numpy.void(2**31)": lambda: skops(
        node("NdArrayNode", "numpy.void", type="numpy", file="a.npy"), a=number(2**31 - 1)
    ),
    "elements without a size": lambda: skops(array(), a=empty(2**40)),
    "texts without a size": lambda: skops(array(), a=empty(2**40, "S0")),
    "a mask of elements without a size": masked,
    "more elements than there are bytes": lambda: skops(array(), a=zeros(8)[:-1]),
}


@pytest.mark.parametrize("name", TINY_BOMBS)
def test_an_array_is_no_larger_than_its_bytes(tmp_path: Path, name: str) -> None:
    """A few bytes that would become gigabytes are refused before memory is allocated."""
    content = TINY_BOMBS[name]()
    assert len(content) < 4_096
    with pytest.raises(
        LoadRefused, match=r"the skops file cannot be read: ValueError: (an array states|a \w+ would be created)"
    ):
        load(make_local_version(tmp_path, {"model.skops": content}))


@pytest.mark.parametrize(
    "value",
    [np.void(b"abc"), np.float32(1.5), np.array([]), np.array(["a", "é"]), np.zeros((0, 3))],
    ids=repr,
)
def test_small_arrays_of_skops_are_loaded(tmp_path: Path, value: Any) -> None:
    """A numpy scalar and an empty array load unchanged."""
    found = load(make_local_version(tmp_path, {"model.skops": skops_of(value)}))
    assert type(found) is type(value)
    assert np.array_equal(found, value)


def skops_of(value: Any) -> bytes:
    """Save a value with the skops library."""
    content: bytes = pytest.importorskip("skops.io").dumps(value)
    return content


def test_a_tensor_with_too_many_dimensions_is_refused_at_once(tmp_path: Path) -> None:
    """The product of its dimensions would have megabytes of digits and take minutes."""
    tensor = {"dtype": "U8", "shape": [2**62] * 100_000, "data_offsets": [0, 1]}
    header = json.dumps({"a": tensor}).encode()
    with pytest.raises(LoadRefused, match="has too many dimensions: 100000"):
        load(make_local_version(tmp_path, {"model.safetensors": struct.pack("<Q", len(header)) + header + b"x"}))
