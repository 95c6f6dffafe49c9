"""Moves of a version: from stage to stage, and into and out of a recall."""

from common_lib.rules.fields import VersionNumber
from common_lib.rules.lifecycle import ModelStage
from common_lib.types.base import Reason, RequestModel


class TransitionRequest(RequestModel):
    """The request to move a version to another stage.

    For a move to production, `replacing` is the version that it replaces, null for none; `override` promotes the
    version although the model's policy is not met.
    """

    to: ModelStage
    reason: Reason = ""
    replacing: VersionNumber | None = None
    override: bool = False


class RecallRequest(RequestModel):
    """The request to block a version for everyone, or to lift the block."""

    reason: Reason
