"""Policies: what a version of a model must fulfil before it may go to production."""

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, checked, given, path, reads, unsafe
from common_lib.rules.names import check_model_name
from common_lib.types.policies import Policy, PromotionRules, SetPolicy

_policy = reads(Policy)


def get(name: str) -> Operation[Policy]:
    """The policy of a model; one that was never set has no conditions, and revision 1."""
    return Operation("GET", _path(name), about(_policy, model=name))


def put(
    name: str, rules: PromotionRules, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[Policy]:
    """The policy of a model with other rules; what is in production stays there, approvals become void.

    Raises:
        InvalidRequest: a rule can never be met: `field` and `remedy` say which and what to do.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody set it in between.
    """
    body = given(SetPolicy, rules=rules, reason=reason)
    read = about(_policy, model=name)
    return Operation("PUT", _path(name), read, "write", body=body, headers=unsafe(revision, force=force))


def _path(name: str) -> str:
    return path("models", checked(check_model_name, name), "policy")
