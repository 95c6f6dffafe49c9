"""Operations on policies, which contain the conditions of promotions."""

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, json_reader, path, request_body, validate, write_headers
from common_lib.rules.names import check_model_name
from common_lib.types.policies import Policy, PromotionRules, SetPolicy

_policy = json_reader(Policy)


def get(name: str) -> Operation[Policy]:
    """Get the policy of a model; a policy that was never set has no conditions and revision 1."""
    return Operation("GET", _path(name), about(_policy, model=name))


def put(
    name: str, rules: PromotionRules, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[Policy]:
    """Replace the rules of a model. The version in production stays there, but all approvals become void.

    Raises:
        InvalidRequest: a rule can never be met; `field` is the rule, and `remedy` says what to change.
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody set the policy in the meantime.
    """
    body = request_body(SetPolicy, rules=rules, reason=reason)
    read = about(_policy, model=name)
    return Operation("PUT", _path(name), read, "write", body=body, headers=write_headers(revision, force=force))


def _path(name: str) -> str:
    return path("models", validate(check_model_name, name), "policy")
