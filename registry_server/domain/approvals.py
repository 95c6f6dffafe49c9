"""Approvals: what humans say of a version that is to be promoted."""

from msgspec import Struct

from common_lib.rules.lifecycle import Verdict
from registry_server.domain.base import Count, ModelName, PrincipalName, Reason, Request, Time, VersionNumber


class Approval(Struct, frozen=True):
    """The last word of a human about a version.

    `subject` is the digest of what it was said of: the facts of the version, its tags and description among them, and
    the revision of the policy. When one of these changes, it is void.
    """

    model: ModelName
    version: VersionNumber
    approver: PrincipalName
    verdict: Verdict
    reason: Reason
    subject: str
    policy: Count
    at: Time


class VerdictRequest(Request, frozen=True):
    """The request to approve a version or to refuse it."""

    verdict: Verdict
    reason: Reason
