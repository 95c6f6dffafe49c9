"""Types of verdicts: approvals and refusals of versions."""

from common_lib.rules.fields import Count, ModelName, Moment, VersionNumber
from common_lib.rules.lifecycle import Verdict
from common_lib.types.base import PrincipalName, Reason, RequestModel, Value


class Approval(Value):
    """The latest verdict of one human about a version.

    `subject` is a digest over the data that the verdict is about: the version, with its tags and description, and the
    revision of the policy. When one of these changes, the verdict is void.
    """

    model: ModelName
    version: VersionNumber
    approver: PrincipalName
    verdict: Verdict
    reason: Reason
    subject: str
    policy: Count
    at: Moment


class VerdictRequest(RequestModel):
    """The request to approve or to refuse a version."""

    verdict: Verdict
    reason: Reason
