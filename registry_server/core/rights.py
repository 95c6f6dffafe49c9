"""Who may do what, as data; what no role grants is denied."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from common_lib.rules import names
from common_lib.rules.access import Role
from registry_server.domain import errors
from registry_server.domain.principals import Principal


class Right(StrEnum):
    """One thing that can be allowed, most of them for the models a grant covers."""

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
# These concern the whole registry: a grant of the role gives them only if it is for all models.
_GLOBAL: Final = frozenset({Right.READ_LOG, Right.ADMINISTER})


class Caller(Struct, frozen=True):
    """The principal behind a request, and the id of the token that it came with.

    `unguarded` is true for the owner of the server's machine who forces a change that leaves no admin.
    """

    principal: Principal
    token_id: str = ""
    unguarded: bool = False

    @property
    def name(self) -> str:
        """The id that stands as actor in events."""
        return self.principal.name

    def has_right(self, right: Right, model: str | None = None) -> bool:
        """Whether a grant gives the right, on that model or, without one, on any."""
        return any(
            right in ROLES[grant.role]
            and (model is None or grant.covers(model))
            and (right not in _GLOBAL or grant.models == "*")
            for grant in self.principal.grants
        )

    def check_any_right(self, rights: Sequence[Right], model: str | None = None) -> None:
        """Refuse the caller that has none of these rights, as `check_right` refuses for lack of the first.

        Raises:
            RuleViolation, NotFound, Forbidden: see `check_right`.
        """
        if not any(self.has_right(right, None if right in _GLOBAL else model) for right in rights):
            self.check_right(rights[0], None if rights[0] in _GLOBAL else model)

    def covered_patterns(self, right: Right) -> tuple[str, ...]:
        """The patterns, in lower case, of the models that the caller has a right on; `*` stands alone."""
        found = {grant.models.lower() for grant in self.principal.grants if right in ROLES[grant.role]}
        return ("*",) if "*" in found else tuple(sorted(found))

    def check_right(self, right: Right, model: str | None = None) -> None:
        """Refuse the caller that lacks the right; to one that may not even read the model, it does not exist.

        Raises:
            RuleViolation: no model can have that name; it goes no further, to no engine.
            ModelNotFound: the caller may not read the model.
            RightMissing: the caller may read it, but not do this.
        """
        if model is not None:
            names.check_model_name(model)
        if self.has_right(right, model):
            return
        if model is not None and not self.has_right(Right.READ, model):
            raise errors.ModelNotFound(model)
        raise errors.RightMissing(self.name, right, model, [role for role, rights in ROLES.items() if right in rights])
