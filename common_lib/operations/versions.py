"""Versions of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from common_lib.errors import DigestMismatch
from common_lib.operations.answers import about, wrong
from common_lib.operations.base import Answer, Operation, checked, given, one_of, path, query, reads, unsafe
from common_lib.rules.comparison import VersionDiff
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.manifest import digest
from common_lib.rules.names import check_model_name
from common_lib.rules.references import parse, written
from common_lib.rules.violation import RuleViolation
from common_lib.scalars import numbers, scalars, texts
from common_lib.staleness import Provenance
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.base import Page, TombstoneRequest
from common_lib.types.lifecycle import RecallRequest, TransitionRequest
from common_lib.types.versions import CreateVersion, Lineage, ModelVersion, Signature, UpdateVersion

VersionOrder = Literal["version", "-version"]
_version = reads(ModelVersion)
_page = reads(Page[ModelVersion])
_manifest = reads(Manifest)
_diff = reads(VersionDiff)


@dataclass(frozen=True, slots=True)
class Resolution(Provenance):
    """A version, and how it is known."""

    version: ModelVersion


def get(name: str, version: int) -> Operation[ModelVersion]:
    """The version of that number, tombstoned or not.

    Raises:
        VersionNotFound: the model has no such version.
    """
    return Operation("GET", _path(name, version), about(_version, model=name, version=version))


def resolve(reference: str) -> Operation[ModelVersion]:
    """The version that a reference means now, or meant at the moment that it names.

    References are `models:/name/7`, `models:/name@champion`, `models:/name/production` and `models:/name/latest`;
    a stage other than production means the newest version there. `models:/name/production?as_of=2026-03-01T00:00:00Z`
    means what was in production then, with description and tags as they were when it came there.

    Raises:
        VersionNotFound: it means none.
        VersionRecalled: it means one that is blocked.
        InvalidRequest: the moment is before the model began, or in the future.
        ProtocolError: the answer is about another model, as one that a proxy has mixed up.
    """
    name, selector, as_of = checked(parse, reference)
    target = path("models", name, "resolve", selector)

    def read(answer: Answer) -> ModelVersion:
        found: ModelVersion = _version(answer)
        if found.model != name:
            raise wrong("model", found.model, f"{reference} was asked for")
        if selector.isdecimal() and found.version != int(selector):
            raise wrong("version", found.version, f"{reference} was asked for")
        return found

    if as_of is None:
        return Operation("GET", target, read, "resolve")
    # What was does not change: it is no entry of the cache for what is.
    return Operation("GET", target, read, query=query(as_of=written(as_of)))


def resolution(reference: str) -> Operation[Resolution]:
    """The version that a reference means, and how that is known: from the registry now, or from what it said before.

    Raises:
        VersionNotFound: it means none.
    """
    asked = resolve(reference)

    def read(answer: Answer) -> Resolution:
        return Resolution(asked.read(answer), **answer.provenance.as_fields())

    return replace(asked, read=read)  # type: ignore[arg-type,return-value]


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
    """The next version of a model, out of files whose bytes are at the registry already.

    `register` uploads the bytes as well. Everything but description, tags and stage is immutable from here on.

    Raises:
        BytesMissing: a file's bytes were not uploaded.
    """
    entries = list(files)
    body = given(
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
    return Operation("POST", _path(name), read, "write", body=body, headers=unsafe())


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
    """The version with the given fields replaced, if it still is at that revision; `force` needs a reason instead.

    Raises:
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed it in between.
    """
    replaced = texts("tags", tags)
    body = given(UpdateVersion, description=description, tags=replaced, reason=reason or None)
    headers = unsafe(revision, force=force)
    read = about(_version, model=name, version=version)
    return Operation("PATCH", _path(name, version), read, "write", body=body, headers=headers)


def transition(
    name: str,
    version: int,
    to: ModelStage | str,
    *,
    reason: str = "",
    replacing: int | None = None,
    override: bool = False,
    revision: int | None = None,
    force: bool = False,
) -> Operation[ModelVersion]:
    """The version, moved to another stage; one that it replaces in production is archived in the same instant.

    Promoting and archiving need a reason, and so does `force`. To production, `replacing` is the version that the
    caller saw there, None for none; `override` promotes although the policy is not met, which is a right of its own.

    Raises:
        IllegalTransition: no move leads there from where it is.
        RevisionMismatch: somebody changed it in between; `winner` says who, if that was a decision.
        ProductionChanged: something else is in production; `winner` says whose decision that is.
        PolicyNotMet: the policy of the model asks for more.
    """
    stage = one_of("to", ModelStage, to)
    body = given(TransitionRequest, to=stage, reason=reason, replacing=replacing, override=override or None)
    headers = unsafe(revision, force=force)
    read = about(_version, model=name, version=version)
    return Operation("POST", _path(name, version, "transition"), read, "write", body=body, headers=headers)


def tombstone(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """The version, taken out of use for good; its number is never given again, its manifest stays.

    Raises:
        InUse: it is in production, or aliases point at it.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed it in between; `winner` says who, if that was a decision.
    """
    body = given(TombstoneRequest, reason=reason)
    headers = unsafe(revision, force=force)
    read = about(_version, model=name, version=version)
    return Operation("POST", _path(name, version, "tombstone"), read, "write", body=body, headers=headers)


def recall(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """The version, blocked for everyone at once: it is neither resolved nor fetched nor loaded until reinstated.

    Raises:
        VersionRecalled: it is blocked already.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed it in between; `winner` says who, if that was a decision.
    """
    return _decided(name, version, "recall", reason, revision, force=force)


def reinstate(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """The version, blocked no more.

    Raises:
        IllegalTransition: it is not blocked.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed it in between; `winner` says who, if that was a decision.
    """
    return _decided(name, version, "reinstate", reason, revision, force=force)


def diff(name: str, left: int, right: int) -> Operation[VersionDiff]:
    """In what two versions of a model differ: parameters, metrics, signature, lineage, files; what is equal too.

    Raises:
        VersionNotFound: the model lacks one of them.
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
    """The versions of a model, the newest first, a page at a time."""
    conditions = query(
        stage=None if stage is None else one_of("stage", ModelStage, stage),
        tombstoned=tombstoned,
        order=order,
        limit=page_size,
    )
    return Operation("GET", _path(name), _page, query=conditions)


def manifest(name: str, version: int) -> Operation[Manifest]:
    """Return the files of a version, also of a tombstoned one.

    Raises:
        ProtocolError: a file has a path that would lead elsewhere on this machine, or two have the same.
        DigestMismatch: the files are not those of the digest in the answer.
    """

    def read(answer: Answer) -> Manifest:
        found: Manifest = _manifest(answer)
        try:
            found.check_rules()
        except RuleViolation as violation:
            raise wrong(f"files: {violation.field}", violation.value, f"it {violation.why}") from None
        if (actual := found.compute_digest()) != found.digest:
            raise DigestMismatch(f"the manifest of models:/{name}/{version}", expected=found.digest, actual=actual)
        return found

    return Operation("GET", _path(name, version, "manifest"), read)


def _decided(
    name: str, version: int, act: str, reason: str, revision: int | None, *, force: bool
) -> Operation[ModelVersion]:
    body = given(RecallRequest, reason=reason)
    headers = unsafe(revision, force=force)
    read = about(_version, model=name, version=version)
    return Operation("POST", _path(name, version, act), read, "write", body=body, headers=headers)


def _path(name: str, *rest: str | int) -> str:
    return path("models", checked(check_model_name, name), "versions", *rest)
