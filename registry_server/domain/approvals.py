"""Types of verdicts: approvals and refusals of versions."""

import hashlib

import msgspec
from msgspec import Struct

from common_lib.rules import canonical
from common_lib.rules.lifecycle import Verdict
from registry_server.domain.base import Count, ModelName, PrincipalName, Reason, Request, Time, VersionNumber
from registry_server.domain.policies import Policy
from registry_server.domain.versions import ModelVersion

# An approval covers all facts of a version except stage, recall and tombstone.
_COVERED = ("digest", "framework", "description", "parameters", "metrics", "signature", "lineage", "tags")


class Approval(Struct, frozen=True):
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
    at: Time


class VerdictRequest(Request, frozen=True):
    """The request to approve or to refuse a version."""

    verdict: Verdict
    reason: Reason


def subject_digest(version: ModelVersion, policy: Policy) -> str:
    """Return the digest over the data that a verdict is about: a version and the revision of its policy."""
    facts = msgspec.to_builtins({name: getattr(version, name) for name in _COVERED})
    covered = facts | {"model": version.model, "version": version.version, "policy": policy.revision}
    return f"sha256:{hashlib.sha256(canonical.encode_with_decimals(covered)).hexdigest()}"
