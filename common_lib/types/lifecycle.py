"""Requests to move a version to another stage, to recall it, and to reinstate it."""

from common_lib.rules.fields import VersionNumber
from common_lib.rules.lifecycle import ModelStage
from common_lib.types.base import Reason, RequestModel


class TransitionRequest(RequestModel):
    """The request to move a version to another stage.

    For a move to production, `replacing` is the version that is in production now, null if production is empty. With
    `override` the version is promoted even if it does not meet the model's policy.
    """

    to: ModelStage
    reason: Reason = ""
    replacing: VersionNumber | None = None
    override: bool = False


class RecallRequest(RequestModel):
    """The request to block a version for everyone (recall), or to lift the block (reinstate)."""

    reason: Reason
