"""The bodies of requests about models; whoever uses the registry calls the operations and never sees these."""

from pydantic import Field

from common_lib.promotion import PromotionRules
from common_lib.rules.facts import check_facts
from common_lib.rules.lifecycle import ModelStage, ModelType, Verdict
from common_lib.rules.manifest import File, check_files
from common_lib.rules.promotion import check_rules
from common_lib.rules.signatures import check_signature
from common_lib.values import (
    Description,
    FileEntry,
    Given,
    Lineage,
    ModelName,
    Reason,
    Scalar,
    ShortText,
    Signature,
    VersionNumber,
)


class CreateModel(Given):
    """The request to create a registered model; without `owner` the caller owns it."""

    name: ModelName
    type: ModelType
    owner: ShortText | None = None
    description: Description = ""
    tags: dict[str, str] = {}
    metadata: dict[str, Scalar] = {}

    def keep_rules(self) -> None:
        """Check names, texts, numbers and sizes."""
        _check_facts(self)


class UpdateModel(Given):
    """The request to change what may change; a field that is given replaces the old value whole.

    A change that is forced needs a reason.
    """

    # A factory keeps the default out of the JSON Schema: what is not given is not sent.
    owner: ShortText = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    tags: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, Scalar] = Field(default_factory=dict)
    reason: Reason = ""

    def keep_rules(self) -> None:
        """Check names, texts, numbers and sizes."""
        _check_facts(self)


class CreateVersion(Given):
    """The request to create the next version out of files whose bytes are already there."""

    files: list[FileEntry]
    framework: ShortText
    description: Description = ""
    parameters: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    signature: Signature | None = None
    lineage: Lineage | None = None
    tags: dict[str, str] = {}

    def keep_rules(self) -> None:
        """Check files, names, texts, numbers, the signature and sizes."""
        check_files([File(file.path, file.size, file.sha256, file.media_type) for file in self.files])
        if self.signature is not None:
            check_signature(self.signature)
        _check_facts(self)


class UpdateVersion(Given):
    """The request to change what may change of a version; a field that is given replaces the old value whole.

    A change that is forced needs a reason.
    """

    description: Description = Field(default_factory=str)
    tags: dict[str, str] = Field(default_factory=dict)
    reason: Reason = ""

    def keep_rules(self) -> None:
        """Check names, texts and sizes."""
        _check_facts(self)


class TransitionRequest(Given):
    """The request to move a version to another stage.

    To production, `replacing` is the version that it takes the place of, null if none is there; `override` promotes
    it although the model's policy is not met.
    """

    to: ModelStage
    reason: Reason = ""
    replacing: VersionNumber | None = None
    override: bool = False


class RecallRequest(Given):
    """The request to block a version for everyone, or to lift the block."""

    reason: Reason


class RollbackRequest(Given):
    """The request to return to the version that was in production before.

    `replacing` is the version that is in production now, null if none is.
    """

    reason: Reason
    replacing: VersionNumber | None = None


class VerdictRequest(Given):
    """The request to approve a version or to refuse it."""

    verdict: Verdict
    reason: Reason


class SetPolicy(Given):
    """The request to give a model other rules."""

    rules: PromotionRules
    reason: Reason

    def keep_rules(self) -> None:
        """Check the rules in themselves; the server knows the metrics that there are."""
        check_rules(self.rules, None)


class TombstoneRequest(Given):
    """The request to take something out of use."""

    reason: Reason


class SetAlias(Given):
    """The request to point an alias at a version."""

    version: VersionNumber
    reason: Reason = ""


_FACTS = ("owner", "framework", "description", "tags", "metadata", "parameters", "metrics")


def _check_facts(request: Given) -> None:
    present = [name for name in _FACTS if name in request.model_fields_set]
    check_facts(**{name: getattr(request, name) for name in present if getattr(request, name) is not None})
