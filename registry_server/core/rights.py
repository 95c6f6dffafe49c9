"""Rights: the rights of each role, and the checks of a caller's rights. A right that no role includes is denied."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from common_lib.rules import names
from common_lib.rules.access import Role
from registry_server.domain import errors
from registry_server.domain.principals import Principal


class Right(StrEnum):
    """A permission; most rights apply to the models that a grant covers."""

    READ = "read"
    REGISTER = "register"
    EDIT = "edit"
    UPLOAD = "upload"
    STAGE = "stage"
    PROMOTE = "promote"
    ALIAS = "alias"
    TOMBSTONE = "tombstone"
    APPROVE = "approve"
    RECALL = "recall"
    GOVERN = "govern"
    OVERRIDE = "override"
    READ_LOG = "read_log"
    ADMINISTER = "administer"


_READER: Final = frozenset({Right.READ})

ROLES: Final = {
    Role.WORKBENCH: frozenset({Right.READ, Right.REGISTER, Right.EDIT, Right.UPLOAD, Right.STAGE}),
    Role.INTEGRATION: frozenset(
        {
            *(Right.READ, Right.EDIT, Right.STAGE, Right.PROMOTE, Right.ALIAS, Right.TOMBSTONE),
            *(Right.APPROVE, Right.RECALL),
        }
    ),
    Role.ANALYSIS: _READER,
    Role.STRATEGY: _READER,
    Role.AUDITOR: frozenset({Right.READ, Right.READ_LOG}),
    Role.ADMIN: frozenset(Right),
}
# These rights concern the whole registry: a grant gives them only if it covers all models.
_GLOBAL: Final = frozenset({Right.READ_LOG, Right.ADMINISTER})


class Caller(Struct, frozen=True):
    """The principal that sends a request, and the id of the token in the request.

    `unguarded` is true for the owner of the server's machine who forces a change that leaves no admin.
    """

    principal: Principal
    token_id: str = ""
    unguarded: bool = False

    @property
    def name(self) -> str:
        """The name of the actor in events."""
        return self.principal.name

    def has_right(self, right: Right, model: str | None = None) -> bool:
        """Return whether a grant of the caller includes the right on `model` or, if that is None, on any model."""
        return any(
            right in ROLES[grant.role]
            and (model is None or grant.covers(model))
            and (right not in _GLOBAL or grant.models == "*")
            for grant in self.principal.grants
        )

    def check_any_right(self, rights: Sequence[Right], model: str | None = None) -> None:
        """Check that the caller has one of these rights; otherwise raise the error of `check_right` for the first.

        Raises:
            RuleViolation, ModelNotFound, RightMissing: see `check_right`.
        """
        if not any(self.has_right(right, None if right in _GLOBAL else model) for right in rights):
            self.check_right(rights[0], None if rights[0] in _GLOBAL else model)

    def covered_patterns(self, right: Right) -> tuple[str, ...]:
        """Return the lower-case patterns of the models on which the caller has a right.

        If one of them is `*`, return only `*`.
        """
        found = {grant.models.lower() for grant in self.principal.grants if right in ROLES[grant.role]}
        return ("*",) if "*" in found else tuple(sorted(found))

    def check_right(self, right: Right, model: str | None = None) -> None:
        """Check that the caller has a right.

        If the caller may not read the model, the error claims that it does not exist.

        Raises:
            RuleViolation: the name of the model is malformed; it must not reach a database engine.
            ModelNotFound: the caller may not read the model, even if it exists.
            RightMissing: the caller may read the model, but lacks the right.
        """
        if model is not None:
            names.check_model_name(model)
        if self.has_right(right, model):
            return
        if model is not None and not self.has_right(Right.READ, model):
            raise errors.ModelNotFound(model)
        raise errors.RightMissing(self.name, right, model, [role for role, rights in ROLES.items() if right in rights])
