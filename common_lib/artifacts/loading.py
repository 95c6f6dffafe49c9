"""From verified files to an object, by a loader that was allowed before it was imported.

Nothing falls back: a file is read by the loader of its declared format, or not at all.
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
from common_lib.rules import formats, manifest
from common_lib.rules.violation import RuleViolation
from common_lib.types.artifacts import FileEntry

GROUP: Final = "model_registry.loaders"
# A name of ours means our module, whatever else is installed under that name.
OURS: Final = {
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
DEFAULT_ALLOWED: Final = frozenset(OURS)
_ARRIVING: Final = re.compile(r"\.[0-9a-f]{32}(?:\.partial)?$(?!\n)")
_SHOWN: Final = 400


class Loader(Protocol):
    """The target of an entry point of the group `model_registry.loaders`: a module or an object with these two.

    A `fault` with a parameter `memory` is given the bytes that `load` may take, or None for the bound of
    `common_lib.loaders.budget.bound_for`.
    """

    def fault(self, content: bytes, /) -> str | None:
        """Why the bytes cannot be what it reads, or None; told without deserialising them."""

    def load(self, content: bytes, /, **options: Any) -> Any:
        """The object that the bytes are."""


def load(
    local_version: LocalVersion,
    *,
    file: str | None = None,
    trust: Trust | None = None,
    loaders: Collection[str] = DEFAULT_ALLOWED,
    memory: int | None = None,
    **options: Any,
) -> Any:
    """The model in a version, of which every byte was hashed again right before its loader got it.

    `file` is its path, needed if several could be meant. `loaders` are the names of those that may be imported.
    Pickle, joblib and torch run code, and are read only if `trust` holds the digest of the version or of the file.
    `memory` is how many bytes the load may take; without it `REGISTRY_LOAD_MEMORY` counts, or 512 MiB and 16 times the
    size of the file, at most 8 GiB. Further options are the loader's own: `trusted_types` of skops, `providers` of
    ONNX.

    Raises:
        LoadRefused: why, and what to do; no deserialiser has seen the file, unless it is its own complaint.
        LibraryMissing: the library of the format is not installed.
        InvalidConfiguration: `memory`, or the variable, is not a positive whole number.
    """
    _check_local_version(local_version)
    entry, declaration = _picked(local_version, file, _names(loaders))
    what = f"{local_version.version.reference} {entry.path}"
    if declaration.loader not in loaders:
        raise LoadRefused(
            what,
            why=f"its loader {declaration.loader!r} is not on the list of those allowed",
            remedy=f"if you trust that loader's code, pass loaders={{…, {declaration.loader!r}}}",
        )
    _check_trust(what, local_version, entry, declaration, trust)
    _check_size(what, entry, memory)
    content = _verified(what, local_version.folder / entry.path, entry)
    if reason := _fault(declaration, content):
        raise _mismatch(what, declaration.loader, reason, content)
    loader = _imported(what, declaration.loader)
    _check_options(what, declaration.loader, loader, options)
    try:
        reason = loader.fault(content, **_bound(loader, memory))
        if not reason:
            return loader.load(content, **options)
    except OverBudget as error:
        raise LoadRefused(what, why=error.why, remedy=error.remedy) from error
    except RegistryError:
        raise
    except Exception as error:
        raise LoadRefused(
            what,
            why=f"its loader {declaration.loader!r} cannot read it: {type(error).__name__}: {error!s:.{_SHOWN}}",
            remedy="register what was saved again, and check the versions of the library",
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
    """The model of a pickle, a file of joblib or of torch that the caller trusts, saved in a safe format.

    Raises:
        LoadRefused: it is not trusted, or it is in a safe format already.
        NoSafeFormat: what the file holds cannot be saved without pickle.
    """
    _check_local_version(local_version)
    entry, declaration = _picked(local_version, file, _names(loaders))
    if declaration.format is None or declaration.format.safe:
        raise LoadRefused(
            f"{local_version.version.reference} {entry.path}",
            why=f"is not converted: {declaration.loader} is no format that runs code",
            remedy="load it as it is",
        )
    return save_model(load(local_version, file=entry.path, trust=trust, loaders=loaders), folder)


def _names(loaders: Collection[str]) -> Collection[str]:
    if isinstance(loaders, str):
        raise LoadRefused(f"loaders {loaders!r:.100}", why="is one text", remedy="pass a set of names")
    return loaders


def _check_local_version(local_version: LocalVersion) -> None:
    """The files in the folder are those of the manifest and no others, and it is that of a version in use."""
    what, listed, recall = local_version.version.reference, local_version.manifest.files, local_version.version.recall
    if recall is not None:
        raise LoadRefused(what, why=f"was recalled by {recall.by}: {recall.reason}", remedy="load another version")
    files = [manifest.File(entry.path, entry.size, entry.sha256, entry.media_type) for entry in listed]
    try:
        manifest.check_files(files)
    except RuleViolation as violation:
        raise LoadRefused(what, why=f"its manifest: {violation}", remedy="register the version anew") from violation
    if not manifest.digest(files) == local_version.manifest.digest == local_version.version.digest:
        raise LoadRefused(what, why="its manifest is not the one of its digest", remedy="fetch it again")
    there, named = set(_present(local_version.folder, "")), {entry.path for entry in listed}
    for path in sorted(there ^ named):
        state = "stands in the folder but not in" if path in there else "is missing, though it stands in"
        raise LoadRefused(what, why=f"{path!r} {state} the manifest", remedy="fetch it again into an empty folder")


def _present(folder: Path, prefix: str) -> Iterator[str]:
    """The path of whatever is no folder, at any depth; links are not followed."""
    try:
        places = sorted(os.scandir(folder), key=lambda place: place.name)
    except OSError as error:
        raise LoadRefused(str(folder), why=f"cannot be listed: {error}", remedy="fetch it again") from error
    for place in places:
        if place.is_dir(follow_symlinks=False):
            yield from _present(folder / place.name, f"{prefix}{place.name}/")
        elif not _ARRIVING.match(place.name):
            yield prefix + place.name


def _picked(
    local_version: LocalVersion, file: str | None, allowed: Collection[str]
) -> tuple[FileEntry, formats.Declaration]:
    """The one file that is the model: JSON and text are, if nothing else can be."""
    what = local_version.version.reference
    named = [entry for entry in local_version.manifest.files if file in {None, entry.path}]
    found = [(entry, declaration) for entry in named if (declaration := _declared(what, entry))]
    if file is None:
        known = [pair for pair in found if pair[1].format or pair[1].loader in allowed]
        found = [pair for pair in known if not formats.is_document(pair[1])] or known or found
    if len(found) == 1:
        return found[0]
    listed = ", ".join(repr(entry.path) for entry, _ in found[:20])
    if found:
        raise LoadRefused(
            what, why=f"several files could be the model: {listed}", remedy="name one of them as the file"
        )
    paths = ", ".join(repr(entry.path) for entry in local_version.manifest.files[:20])
    why = f"none of its files is declared to be a model: {paths}" if file is None else f"{file!r} is declared no model"
    suffixes = " ".join(suffix for form in formats.FORMATS if form.safe for suffix in form.suffixes)
    raise LoadRefused(what, why=why, remedy=f"name one of its files that is called or typed as one of {suffixes}")


def _declared(what: str, entry: FileEntry) -> formats.Declaration | None:
    try:
        return formats.declared(entry.path, entry.media_type)
    except RuleViolation as violation:
        raise LoadRefused(
            f"{what} {entry.path}", why=f"{violation.value!r} {violation.why}", remedy=violation.remedy
        ) from violation


def _check_trust(
    what: str, local_version: LocalVersion, entry: FileEntry, declaration: formats.Declaration, trust: Trust | None
) -> None:
    if declaration.format is None or declaration.format.safe:
        return
    if not is_trusted(trust, (local_version.version.digest, f"sha256:{entry.sha256}")):
        raise LoadRefused(
            what,
            why=f"{declaration.loader} runs the code that a file names, and you do not trust this one",
            remedy=f"save it in a safe format; or, if you know who made it, trust its digest, 'sha256:{entry.sha256}'",
        )


def _check_size(what: str, entry: FileEntry, memory: int | None) -> None:
    """Refuse a file whose bytes alone are more than a load may take, before it is read."""
    try:
        Budget(bound_for(entry.size, memory)).spend(entry.size, "its bytes")
    except OverBudget as error:
        raise LoadRefused(what, why=error.why, remedy=error.remedy) from error


def _bound(loader: Loader, memory: int | None) -> dict[str, Any]:
    """Return the argument with the bound, for a loader whose `fault` takes one."""
    return {"memory": memory} if "memory" in inspect.signature(loader.fault).parameters else {}


def _verified(what: str, path: Path, entry: FileEntry) -> bytes:
    """The bytes of a file, read once; the loader gets these, so that nobody can exchange them in between."""
    try:
        # A pipe in its place must not hold us up; a link may lead to the cache, and what is read is hashed in any case.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            plain = stat.S_ISREG(os.fstat(handle).st_mode)
            content = stream.read(entry.size + 1) if plain else b""
    except OSError as error:
        raise LoadRefused(what, why=f"cannot be opened: {error}", remedy="fetch it again") from error
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise LoadRefused(
            what,
            why=f"its bytes are not those of its SHA-256 {entry.sha256}",
            remedy="remove the folder, fetch it again",
        )
    return content


def _fault(declaration: formats.Declaration, content: bytes) -> str | None:
    if declaration.format:
        return declaration.format.fault(content)
    # Whoever declares a format of a third party must not have it lead to a pickle.
    return "such bytes run code" if formats.runs_code(content) else None


def _mismatch(what: str, loader: str, reason: str, content: bytes) -> LoadRefused:
    return LoadRefused(
        what,
        why=f"is declared to be of {loader}, but {reason}; its bytes look like {formats.resemblance(content)}",
        remedy="register it as what it is",
    )


def _imported(what: str, name: str) -> Loader:
    try:
        loader: Loader = _entry_point(what, name).load()
    except RegistryError:
        raise
    except Exception as error:
        raise LoadRefused(
            what, why=f"its loader {name!r} cannot be imported: {error!s:.{_SHOWN}}", remedy="install it again"
        ) from error
    return loader


def _entry_point(what: str, name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if name in OURS:
        found = {value: point for value, point in found.items() if value == OURS[name]}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise LoadRefused(
            what, why=f"several loaders are named {name!r}: {', '.join(sorted(found))}", remedy="uninstall all but one"
        )
    package = "model-registry-service" if name in OURS else "the package that brings it"
    raise LoadRefused(what, why=f"no loader named {name!r} is installed", remedy=f"install {package}")


def _check_options(what: str, name: str, loader: Loader, options: dict[str, Any]) -> None:
    try:
        inspect.signature(loader.load).bind(b"", **options)
    except TypeError as error:
        raise LoadRefused(
            what, why=f"its loader {name!r} takes other options: {error}", remedy="leave them out"
        ) from None
