"""Registration of versions: validate a request before its transaction, then create the next version of the model."""

import asyncio
from typing import Final

import msgspec

from common_lib.rules import manifest, names, signatures
from common_lib.rules.facts import check_facts
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import artifacts, changes, models
from registry_server.core.rights import Caller, Right
from registry_server.core.versions import key
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.versions import CreateVersion, Lineage, ModelVersion, Signature
from registry_server.queries import Records

_MANY: Final = 100


class Registration(msgspec.Struct, frozen=True):
    """A valid request to create a version, and the manifest of its files."""

    command: CreateVersion
    files: list[FileEntry]
    document: bytes


async def validate(caller: Caller, name: str, command: CreateVersion) -> Registration:
    """Validate a request to create a version, before its transaction begins, and return the registration.

    Raises:
        RuleViolation, InvalidRequest: a field breaks a rule that does not depend on the state of the registry.
    """
    caller.check_right(Right.REGISTER, name)
    # Thousands of files take as long as thousands of reads, so a thread validates them.
    return await asyncio.to_thread(_validate, command) if len(command.files) > _MANY else _validate(command)


def _validate(command: CreateVersion) -> Registration:
    files = sorted(command.files, key=lambda file: file.path.encode())
    listed = msgspec.to_builtins(files)
    manifest.check_files(listed)
    _check_texts(command.signature, command.lineage)
    check_facts(
        framework=command.framework,
        description=command.description,
        parameters=command.parameters,
        metrics=command.metrics,
        tags=command.tags,
    )
    if not command.framework:
        raise errors.FrameworkMissing("")
    return Registration(command, files, manifest.document(listed))


async def create(
    records: Records, request: WriteRequest, name: str, registration: Registration
) -> Outcome[ModelVersion]:
    """Create the next version of a model from files whose bytes are already stored."""
    command, files = registration.command, registration.files
    model = await models.get_for_update(records, request, Right.REGISTER, name)
    await _require_bytes(records, request.caller, files)
    digest = manifest.digest_of(registration.document)
    number = await records.models.take_next_version_number(name)
    version = ModelVersion(
        model=name,
        version=number,
        stage=ModelStage.DEVELOPMENT,
        digest=digest,
        size=sum(file.size for file in files),
        file_count=len(files),
        framework=command.framework,
        description=command.description,
        parameters=command.parameters,
        metrics=command.metrics,
        signature=command.signature,
        lineage=command.lineage,
        tags=command.tags,
        revision=1,
        created_by=request.caller.name,
        created_at=request.at,
        updated_at=request.at,
        tombstone=None,
    )
    await records.artifacts.insert_document(digest, registration.document)
    await records.versions.insert(version, files)
    counted = msgspec.structs.replace(model, latest_version=number)
    change = changes.created("version.created", key(name, number), version)
    count = changes.changed("", (models.key(name), model, counted))
    change = msgspec.structs.replace(change, before=count.before, after=change.after | count.after)
    return Outcome(version, change, status=201, location=f"/v1/models/{name}/versions/{number}")


def _check_texts(signature: Signature | None, lineage: Lineage | None) -> None:
    if signature is not None:
        signatures.check_signature(msgspec.to_builtins(signature))
    for name, text in msgspec.structs.asdict(lineage).items() if lineage else ():
        names.check_text(f"lineage.{name}", text or "", names.SHORT_TEXT_LENGTH)


async def _require_bytes(records: Records, caller: Caller, files: list[FileEntry]) -> None:
    digests = sorted({file.sha256 for file in files})
    stored = await records.artifacts.find_sizes(digests)
    known = await artifacts.find_readable(records, caller, digests)
    for file in files:
        if file.sha256 not in stored or file.sha256 not in known:
            raise errors.BytesMissing(file)
        if stored[file.sha256] != file.size:
            raise errors.FileSizeWrong(file, stored[file.sha256])
