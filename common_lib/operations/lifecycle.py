"""Operations on the lifecycle of versions: transitions between stages, recalls and tombstones."""

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, json_reader, one_of, path, request_body, validate, write_headers
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.names import check_model_name
from common_lib.types.base import TombstoneRequest
from common_lib.types.lifecycle import RecallRequest, TransitionRequest
from common_lib.types.versions import ModelVersion

_version = json_reader(ModelVersion)


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
    """Move a version to another stage. In a promotion, the replaced version is archived in the same transaction.

    Promoting, archiving and `force` need a reason. For a move to production, `replacing` is the version that the caller
    expects there, or None if there should not be one. `override` promotes a version that does not meet the policy; it
    needs the right to override.

    Raises:
        IllegalTransition: the version cannot move from its stage to this one.
        RevisionMismatch: the version was changed in the meantime; `winner` is the decision that changed it, or None.
        ProductionChanged: another version is in production; `winner` is the decision that put it there.
        PolicyNotMet: the version does not meet the policy of the model.
    """
    stage = one_of("to", ModelStage, to)
    body = request_body(TransitionRequest, to=stage, reason=reason, replacing=replacing, override=override or None)
    return _change(name, version, "transition", body, revision, force=force)


def tombstone(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """Take a version out of use permanently. Its number is never used again, and its manifest is not deleted.

    Raises:
        InUse: the version is in production, or aliases point at it.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: the version was changed in the meantime; `winner` is the decision that changed it, or None.
    """
    return _change(name, version, "tombstone", request_body(TombstoneRequest, reason=reason), revision, force=force)


def recall(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """Block a version for everyone immediately: it cannot be resolved, downloaded or loaded until it is reinstated.

    Raises:
        VersionRecalled: the version is already blocked.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: the version was changed in the meantime; `winner` is the decision that changed it, or None.
    """
    return _change(name, version, "recall", request_body(RecallRequest, reason=reason), revision, force=force)


def reinstate(
    name: str, version: int, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[ModelVersion]:
    """Lift the recall of a version, so that it can be used again.

    Raises:
        IllegalTransition: the version is not blocked.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: the version was changed in the meantime; `winner` is the decision that changed it, or None.
    """
    return _change(name, version, "reinstate", request_body(RecallRequest, reason=reason), revision, force=force)


def _change(
    name: str, version: int, action: str, body: bytes, revision: int | None, *, force: bool
) -> Operation[ModelVersion]:
    target = path("models", validate(check_model_name, name), "versions", version, action)
    read = about(_version, model=name, version=version)
    return Operation("POST", target, read, "write", body=body, headers=write_headers(revision, force=force))
