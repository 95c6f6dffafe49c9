"""Operations on the versions of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from common_lib.errors import DigestMismatch
from common_lib.operations.answers import about, wrong
from common_lib.operations.base import (
    Answer,
    Operation,
    json_reader,
    one_of,
    path,
    query,
    request_body,
    validate,
    write_headers,
)
from common_lib.rules.comparison import VersionDiff
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.manifest import digest
from common_lib.rules.names import check_model_name
from common_lib.rules.references import format_moment, parse
from common_lib.rules.violation import RuleViolation
from common_lib.scalars import numbers, scalars, texts
from common_lib.staleness import Provenance
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.base import Page
from common_lib.types.versions import CreateVersion, Lineage, ModelVersion, Signature, UpdateVersion

VersionOrder = Literal["version", "-version"]
_version = json_reader(ModelVersion)
_page = json_reader(Page[ModelVersion])
_manifest = json_reader(Manifest)
_diff = json_reader(VersionDiff)


@dataclass(frozen=True, slots=True)
class Resolution(Provenance):
    """A version, and the provenance of the answer: whether it comes from a cache, and its age."""

    version: ModelVersion


def get(name: str, version: int) -> Operation[ModelVersion]:
    """Get a version by its number, even if it is tombstoned.

    Raises:
        VersionNotFound: the model has no such version.
    """
    return Operation("GET", _path(name, version), about(_version, model=name, version=version))


def resolve(reference: str) -> Operation[ModelVersion]:
    """Return the version that a reference refers to, now or at the time in its `as_of`.

    References are `models:/name/7`, `models:/name@champion`, `models:/name/production` and `models:/name/latest`;
    with another stage, the result is the newest version in it. `models:/name/production?as_of=2026-03-01T00:00:00Z`
    refers to the version that was in production at this time, with the description and tags that it had when it
    moved to production.

    Raises:
        VersionNotFound: the reference does not refer to a version.
        VersionRecalled: the reference refers to a recalled version.
        InvalidRequest: the time in `as_of` is before the creation of the model or in the future.
        ProtocolError: the answer is about another model, for example because a proxy has mixed up answers.
    """
    name, selector, as_of = validate(parse, reference)
    target = path("models", name, "resolve", selector)

    def read(answer: Answer) -> ModelVersion:
        found: ModelVersion = _version(answer)
        if found.model != name:
            raise wrong("model", found.model, f"{reference} was requested")
        if selector.isdecimal() and found.version != int(selector):
            raise wrong("version", found.version, f"{reference} was requested")
        return found

    if as_of is None:
        return Operation("GET", target, read, "resolve")
    # The past does not change, so this answer bypasses the cache of current answers.
    return Operation("GET", target, read, query=query(as_of=format_moment(as_of)))


def resolution(reference: str) -> Operation[Resolution]:
    """Resolve a reference; also report whether the answer comes from the registry or a cache, and its age.

    Raises:
        VersionNotFound: the reference does not refer to a version.
    """
    operation = resolve(reference)

    def read(answer: Answer) -> Resolution:
        return Resolution(operation.read(answer), **answer.provenance.as_fields())

    return replace(operation, read=read)  # type: ignore[arg-type,return-value]


def create(
    name: str,
    files: Sequence[FileEntry],
    *,
    framework: str,
    description: str | None = None,
    parameters: Mapping[str, Scalar] | None = None,
    metrics: Mapping[str, float] | None = None,
    signature: Signature | None = None,
    lineage: Lineage | None = None,
    tags: Mapping[str, str] | None = None,
) -> Operation[ModelVersion]:
    """Create the next version of a model from files whose bytes the registry already has.

    `register` also uploads the bytes. Only the description, the tags and the stage of a version can change later.

    Raises:
        BytesMissing: the bytes of a file were not uploaded.
    """
    entries = list(files)
    body = request_body(
        CreateVersion,
        files=entries,
        framework=framework,
        description=description,
        parameters=scalars("parameters", parameters),
        metrics=numbers("metrics", metrics),
        signature=signature,
        lineage=lineage,
        tags=texts("tags", tags),
    )
    identity = digest([entry.model_dump() for entry in entries])
    read = about(_version, model=name, digest=identity)
    return Operation("POST", _path(name), read, "write", body=body, headers=write_headers())


def update(
    name: str,
    version: int,
    *,
    revision: int | None = None,
    force: bool = False,
    reason: str = "",
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Operation[ModelVersion]:
    """Replace the given fields of a version if it still has this revision, or in any case with `force` and a reason.

    Raises:
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed the version in the meantime.
    """
    replaced = texts("tags", tags)
    body = request_body(UpdateVersion, description=description, tags=replaced, reason=reason or None)
    headers = write_headers(revision, force=force)
    read = about(_version, model=name, version=version)
    return Operation("PATCH", _path(name, version), read, "write", body=body, headers=headers)


def diff(name: str, left: int, right: int) -> Operation[VersionDiff]:
    """Compare the parameters, metrics, signatures, lineage and files of two versions; equal entries are included.

    Raises:
        VersionNotFound: the model does not have one of the two versions.
    """
    return Operation("GET", _path(name, left, "diff", right), about(_diff, model=name, left=left, right=right))


def search(
    name: str,
    *,
    stage: ModelStage | str | None = None,
    tombstoned: bool = False,
    order: VersionOrder = "-version",
    page_size: int = 100,
) -> Operation[Page[ModelVersion]]:
    """List the versions of a model page by page, by default starting with the newest."""
    conditions = query(
        stage=None if stage is None else one_of("stage", ModelStage, stage),
        tombstoned=tombstoned,
        order=order,
        limit=page_size,
    )
    return Operation("GET", _path(name), _page, query=conditions)


def manifest(name: str, version: int) -> Operation[Manifest]:
    """Get the list of the files of a version, even if it is tombstoned.

    Raises:
        ProtocolError: a path leads out of the folder of the version, or two files have the same path.
        DigestMismatch: the list of files does not have the digest in the answer.
    """

    def read(answer: Answer) -> Manifest:
        found: Manifest = _manifest(answer)
        try:
            found.check_rules()
        except RuleViolation as violation:
            raise wrong(f"files: {violation.field}", violation.value, violation.why) from None
        if (actual := found.compute_digest()) != found.digest:
            raise DigestMismatch(f"the manifest of models:/{name}/{version}", expected=found.digest, actual=actual)
        return found

    return Operation("GET", _path(name, version, "manifest"), read)


def _path(name: str, *rest: str | int) -> str:
    return path("models", validate(check_model_name, name), "versions", *rest)
