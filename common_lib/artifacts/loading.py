"""Load a model from verified files with the loader for the format that the manifest declares.

A loader is imported only if the caller allows it. If the loader fails, no other loader is tried.
"""

import hashlib
import inspect
import os
import re
import stat
from collections.abc import Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Protocol

from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.trust import Trust, is_trusted
from common_lib.errors import LoadRefused, RegistryError
from common_lib.loaders.budget import Budget, OverBudget, bound_for
from common_lib.loaders.saving import SavedModel, save_model
from common_lib.rules import formats
from common_lib.rules.violation import RuleViolation
from common_lib.types.artifacts import FileEntry

GROUP: Final = "model_registry.loaders"
# These names always mean the modules of this library, even if another package installs loaders with the same names.
BUILT_IN: Final = {
    "skops": "common_lib.loaders.skops",
    "safetensors": "common_lib.loaders.safetensors",
    "onnx": "common_lib.loaders.onnx",
    "xgboost": "common_lib.loaders.xgboost",
    "lightgbm": "common_lib.loaders.lightgbm",
    "json": "common_lib.loaders.json_document",
    "text": "common_lib.loaders.plain_text",
    "pickle": "common_lib.loaders.python_pickle",
    "joblib": "common_lib.loaders.joblib_pickle",
    "torch": "common_lib.loaders.torch_state",
}
DEFAULT_ALLOWED: Final = frozenset(BUILT_IN)
_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}(?:\.partial)?$(?!\n)")
_MAX_ERROR_CHARS: Final = 400


class Loader(Protocol):
    """A loader for one format: a module or object that an entry point of the group `model_registry.loaders` refers to.

    If `fault` has a parameter `memory`, it receives the number of bytes that `load` may take, or None for the default
    of `common_lib.loaders.budget.bound_for`.
    """

    def fault(self, content: bytes, /) -> str | None:
        """Return why the bytes cannot be a file of this format, or None; do not deserialise them."""

    def load(self, content: bytes, /, **options: Any) -> Any:
        """Deserialise the bytes and return the object."""


def load(
    local_version: LocalVersion,
    *,
    file: str | None = None,
    trust: Trust | None = None,
    loaders: Collection[str] = DEFAULT_ALLOWED,
    memory: int | None = None,
    **options: Any,
) -> Any:
    """Load the model of a fetched version. Its file is verified once more while it is read.

    `file` is the path of the model file; it is required if the version has several model files. `loaders` are the names
    of the loaders that may be imported. A pickle, joblib or torch file runs code when it is loaded, so it is loaded
    only if `trust` contains the digest of the version or of the file. `memory` limits the memory of the load, in bytes;
    the default is `REGISTRY_LOAD_MEMORY`, or 512 MiB plus 16 times the size of the file, at most 8 GiB. Other options
    are passed to the loader, such as `trusted_types` to skops and `providers` to ONNX.

    Raises:
        LoadRefused: a check refused the file before it was deserialised, or the loader failed.
        LibraryMissing: the library of the format is not installed.
        InvalidConfiguration: `memory` or `REGISTRY_LOAD_MEMORY` is not a positive whole number.
    """
    _check_local_version(local_version)
    entry, declaration = _select_file(local_version, file, _check_names(loaders))
    what = f"{local_version.version.reference} {entry.path}"
    if declaration.loader not in loaders:
        raise LoadRefused(
            what,
            why=f"the loader {declaration.loader!r} is not allowed",
            remedy=f"if you trust that loader's code, pass loaders={{…, {declaration.loader!r}}}",
        )
    _check_trust(what, local_version, entry, declaration, trust)
    _check_size(what, entry, memory)
    content = _read_verified(what, local_version.folder / entry.path, entry)
    if reason := _find_fault(declaration, content):
        raise _mismatch(what, declaration.loader, reason, content)
    loader = _import_loader(what, declaration.loader)
    _check_options(what, declaration.loader, loader, options)
    try:
        reason = loader.fault(content, **_memory_option(loader, memory))
        if not reason:
            return loader.load(content, **options)
    except OverBudget as error:
        raise LoadRefused(what, why=error.why, remedy=error.remedy) from error
    except RegistryError:
        raise
    except Exception as error:
        raise LoadRefused(
            what,
            why=f"the loader {declaration.loader!r} failed: {type(error).__name__}: {error!s:.{_MAX_ERROR_CHARS}}",
            remedy="install the version of the library that saved the file, or save and register the model again",
        ) from error
    raise _mismatch(what, declaration.loader, reason, content)


def convert(
    local_version: LocalVersion,
    folder: str | os.PathLike[str],
    *,
    trust: Trust,
    file: str | None = None,
    loaders: Collection[str] = DEFAULT_ALLOWED,
) -> SavedModel:
    """Load a trusted pickle, joblib or torch file, and save the object to `folder` in a safe format.

    Raises:
        LoadRefused: the file is not trusted, or is already in a safe format.
        NoSafeFormat: the object cannot be saved without pickle.
    """
    _check_local_version(local_version)
    entry, declaration = _select_file(local_version, file, _check_names(loaders))
    if declaration.format is None or declaration.format.safe:
        raise LoadRefused(
            f"{local_version.version.reference} {entry.path}",
            why=f"it is declared as {declaration.loader}; only pickle, joblib and torch files can be converted",
            remedy="load the file without conversion",
        )
    return save_model(load(local_version, file=entry.path, trust=trust, loaders=loaders), folder)


def _check_names(loaders: Collection[str]) -> Collection[str]:
    if isinstance(loaders, str):
        raise LoadRefused(f"loaders {loaders!r:.100}", why="it is a string", remedy="pass a set of names")
    return loaders


def _check_local_version(local_version: LocalVersion) -> None:
    """Raise if the version is recalled, its manifest has a wrong digest, or its folder has missing or foreign files."""
    what, listed, recall = local_version.version.reference, local_version.manifest.files, local_version.version.recall
    if recall is not None:
        raise LoadRefused(
            what, why=f"the version was recalled by {recall.by}: {recall.reason}", remedy="load another version"
        )
    try:
        local_version.manifest.check_rules()
    except RuleViolation as violation:
        raise LoadRefused(
            what, why=f"the manifest is invalid: {violation}", remedy="register the files as a new version"
        ) from violation
    if not local_version.manifest.compute_digest() == local_version.manifest.digest == local_version.version.digest:
        raise LoadRefused(what, why="the manifest does not have the version's digest", remedy="fetch the version again")
    present, expected = set(_list_files(local_version.folder, "")), {entry.path for entry in listed}
    for path in sorted(present ^ expected):
        state = "is in the folder but not in the manifest" if path in present else "is missing from the folder"
        raise LoadRefused(what, why=f"{path!r} {state}", remedy="fetch the version again into an empty folder")


def _list_files(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the path of each file in the folder and its subfolders; do not follow links."""
    try:
        places = sorted(os.scandir(folder), key=lambda place: place.name)
    except OSError as error:
        raise LoadRefused(
            str(folder), why=f"the folder cannot be listed: {error}", remedy="fetch the version again"
        ) from error
    for place in places:
        if place.is_dir(follow_symlinks=False):
            yield from _list_files(folder / place.name, f"{prefix}{place.name}/")
        elif not _TEMPORARY.match(place.name):
            yield prefix + place.name


def _select_file(
    local_version: LocalVersion, file: str | None, allowed: Collection[str]
) -> tuple[FileEntry, formats.Declaration]:
    """Return the model file of the version. A JSON or text file is chosen only if no other file can be the model."""
    what = local_version.version.reference
    named = [entry for entry in local_version.manifest.files if file in {None, entry.path}]
    found = [(entry, declaration) for entry in named if (declaration := _find_declaration(what, entry))]
    if file is None:
        known = [pair for pair in found if pair[1].format or pair[1].loader in allowed]
        found = [pair for pair in known if not formats.is_document(pair[1])] or known or found
    if len(found) == 1:
        return found[0]
    listed = ", ".join(repr(entry.path) for entry, _ in found[:20])
    if found:
        raise LoadRefused(
            what, why=f"several files could be the model: {listed}", remedy="pass the path of one of them as `file`"
        )
    paths = ", ".join(repr(entry.path) for entry in local_version.manifest.files[:20])
    why = f"no file of the version is a model: {paths}" if file is None else f"{file!r} is not declared as a model"
    suffixes = " ".join(suffix for form in formats.FORMATS if form.safe for suffix in form.suffixes)
    raise LoadRefused(
        what, why=why, remedy=f"pass as `file` a model file; its suffix or media type must be that of one of {suffixes}"
    )


def _find_declaration(what: str, entry: FileEntry) -> formats.Declaration | None:
    try:
        return formats.declared(entry.path, entry.media_type)
    except RuleViolation as violation:
        raise LoadRefused(
            f"{what} {entry.path}", why=f"{violation.value!r}: {violation.why}", remedy=violation.remedy
        ) from violation


def _check_trust(
    what: str, local_version: LocalVersion, entry: FileEntry, declaration: formats.Declaration, trust: Trust | None
) -> None:
    if declaration.format is None or declaration.format.safe:
        return
    if not is_trusted(trust, (local_version.version.digest, f"sha256:{entry.sha256}")):
        raise LoadRefused(
            what,
            why=f"the {declaration.loader} file can run any code when it is loaded, and it is not trusted",
            remedy=(
                "save the model in a safe format; or, if you trust its author, "
                f"pass its digest as `trust`: 'sha256:{entry.sha256}'"
            ),
        )


def _check_size(what: str, entry: FileEntry, memory: int | None) -> None:
    """Raise LoadRefused, before the file is read, if its size alone exceeds the memory bound."""
    try:
        Budget(bound_for(entry.size, memory)).spend(entry.size, "its bytes")
    except OverBudget as error:
        raise LoadRefused(what, why=error.why, remedy=error.remedy) from error


def _memory_option(loader: Loader, memory: int | None) -> dict[str, Any]:
    """Return the argument `memory` as a dict, or an empty dict if the loader's `fault` does not have that parameter."""
    return {"memory": memory} if "memory" in inspect.signature(loader.fault).parameters else {}


def _read_verified(what: str, path: Path, entry: FileEntry) -> bytes:
    """Read a file and verify its digest. The loader gets these bytes, so it does not open the file again."""
    try:
        # Without O_NONBLOCK a pipe would block the caller. Links are followed: they lead to blobs in the cache.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            plain = stat.S_ISREG(os.fstat(handle).st_mode)
            content = stream.read(entry.size + 1) if plain else b""
    except OSError as error:
        raise LoadRefused(what, why=f"the file cannot be opened: {error}", remedy="fetch the version again") from error
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise LoadRefused(
            what,
            why=f"the file does not have the SHA-256 {entry.sha256}",
            remedy="remove the folder and fetch the version again",
        )
    return content


def _find_fault(declaration: formats.Declaration, content: bytes) -> str | None:
    if declaration.format:
        return declaration.format.fault(content)
    # A third party's format must not be a way around the trust that a pickle needs.
    return "the bytes are in a format that runs code" if formats.runs_code(content) else None


def _mismatch(what: str, loader: str, reason: str, content: bytes) -> LoadRefused:
    return LoadRefused(
        what,
        why=f"the file is declared as {loader}, but {reason}; its bytes look like {formats.resemblance(content)}",
        remedy="register the file with the right media type or suffix",
    )


def _import_loader(what: str, name: str) -> Loader:
    try:
        loader: Loader = _entry_point(what, name).load()
    except RegistryError:
        raise
    except Exception as error:
        raise LoadRefused(
            what,
            why=f"the loader {name!r} cannot be imported: {error!s:.{_MAX_ERROR_CHARS}}",
            remedy="install the package of the loader again",
        ) from error
    return loader


def _entry_point(what: str, name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if name in BUILT_IN:
        found = {value: point for value, point in found.items() if value == BUILT_IN[name]}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise LoadRefused(
            what,
            why=f"several loaders have the name {name!r}: {', '.join(sorted(found))}",
            remedy="uninstall all but one of them",
        )
    package = "model-registry-service" if name in BUILT_IN else "the package that contains this loader"
    raise LoadRefused(what, why=f"no loader named {name!r} is installed", remedy=f"install {package}")


def _check_options(what: str, name: str, loader: Loader, options: dict[str, Any]) -> None:
    try:
        inspect.signature(loader.load).bind(b"", **options)
    except TypeError as error:
        raise LoadRefused(
            what, why=f"the loader {name!r} does not accept these options: {error}", remedy="omit them"
        ) from None
