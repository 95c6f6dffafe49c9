"""What the use cases need of the outside world; infrastructure provides it, once for each engine."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.aliases import Alias
from registry_server.domain.answers import Answer, FirstAnswer
from registry_server.domain.artifacts import Blob, FileEntry
from registry_server.domain.events import Event
from registry_server.domain.models import ModelFilter, RegisteredModel
from registry_server.domain.pages import Order, Window
from registry_server.domain.principals import Principal, Token
from registry_server.domain.versions import ModelVersion, VersionFilter

T = TypeVar("T")


class Models(Protocol):
    """Registered models."""

    async def get(self, name: str) -> RegisteredModel | None:
        """The model of that name, tombstoned or not."""

    async def lock(self, name: str) -> RegisteredModel | None:
        """The same, kept from other writers until this transaction ends."""

    async def twin(self, name: str) -> str | None:
        """The name of a model that differs from `name` at most in capitals."""

    async def insert(self, model: RegisteredModel) -> bool:
        """Whether the name was free."""

    async def update(self, before: RegisteredModel, model: RegisteredModel) -> bool:
        """Whether the stored model still had the revision of `before`; then it is `model` now."""

    async def next_version(self, name: str) -> int:
        """The next version number; the model's row stays locked until this transaction ends."""

    async def search(self, conditions: ModelFilter, order: Order, window: Window) -> list[RegisteredModel]:
        """One window, and the row behind it, of the models that fulfil the conditions, in that order."""


class Versions(Protocol):
    """Versions of models."""

    async def get(self, model: str, version: int) -> ModelVersion | None:
        """The version of that number, tombstoned or not."""

    async def in_production(self, model: str) -> ModelVersion | None:
        """The one version in production."""

    async def newest(self, model: str, stage: ModelStage | None) -> ModelVersion | None:
        """The live version with the highest number, in that stage or in any."""

    async def aliased(self, model: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at."""

    async def insert(self, version: ModelVersion, files: Sequence[FileEntry]) -> None:
        """Store a new version and its files; its manifest stands in the documents already."""

    async def update(self, before: ModelVersion, version: ModelVersion) -> bool:
        """Whether the stored version still had the revision of `before`; then it is `version` now."""

    async def page(self, model: str, conditions: VersionFilter, order: Order, window: Window) -> list[ModelVersion]:
        """One window of the versions of a model, by number."""

    async def file(self, model: str, version: int, path: str) -> FileEntry | None:
        """One file of a version."""


class Aliases(Protocol):
    """Pointers to versions."""

    async def get(self, model: str, alias: str) -> Alias | None:
        """The alias of that name."""

    async def of_model(self, model: str) -> list[Alias]:
        """All aliases of a model, by name."""

    async def of_version(self, model: str, version: int) -> list[str]:
        """The names of the aliases that point at a version."""

    async def insert(self, alias: Alias) -> bool:
        """Whether the name was free."""

    async def update(self, before: Alias, alias: Alias) -> bool:
        """Whether the stored alias still had the revision of `before`; then it is `alias` now."""

    async def delete(self, alias: Alias) -> bool:
        """Whether the stored alias still had that revision; then it is gone."""


class Artifacts(Protocol):
    """Rows about bytes: blobs, and documents small enough for a row."""

    async def blob(self, sha256: str) -> Blob | None:
        """The row of a blob, which exists only if its bytes do."""

    async def sizes(self, digests: Sequence[str]) -> dict[str, int]:
        """The sizes of those blobs that exist."""

    async def insert_blob(self, blob: Blob) -> bool:
        """Whether the blob was new."""

    async def document(self, digest: str) -> bytes | None:
        """A manifest or another document by its digest."""

    async def insert_document(self, digest: str, body: bytes) -> None:
        """Keep a document; the same digest twice is the same document."""


class Principals(Protocol):
    """Principals and their tokens."""

    async def get(self, name: str) -> Principal | None:
        """The principal of that name."""

    async def page(self, window: Window) -> list[Principal]:
        """One window of the principals, by name."""

    async def insert(self, principal: Principal) -> bool:
        """Whether the name was free."""

    async def update(self, before: Principal, principal: Principal) -> bool:
        """Whether the stored principal still had the revision of `before`; then it is `principal` now."""

    async def token(self, token_id: str) -> Token | None:
        """The token of that id."""

    async def token_page(self, window: Window) -> list[Token]:
        """One window of the tokens, by id."""

    async def insert_token(self, token: Token, secret_sha256: str) -> None:
        """Keep a new token and the digest of its secret."""

    async def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Whether the token was not revoked before; now it is."""

    async def by_secret(self, secret_sha256: str) -> tuple[Token, Principal] | None:
        """The token with that secret and whose it is."""


class Events(Protocol):
    """The append-only log."""

    async def next_place(self, now: datetime) -> tuple[int, datetime]:
        """The next sequence number and its time, later than that of every event before, whatever the clock says.

        It stays locked until this transaction ends, so commit order, log order and time order are one.
        """

    async def append(self, event: Event) -> None:
        """Put the event at its place."""

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        """Events in order, beginning behind `sequence`."""


class Idempotency(Protocol):
    """First answers to unsafe requests."""

    async def claim(self, principal: str, key: str) -> bool:
        """Whether no other process is at work on this key; held until this transaction ends."""

    async def find(self, principal: str, key: str) -> FirstAnswer | None:
        """The first answer to a key."""

    async def insert(self, principal: str, key: str, fingerprint: str, answer: Answer, at: datetime) -> None:
        """Keep the first answer."""

    async def forget(self, before: datetime) -> int:
        """Drop answers that are older, and say how many."""


class Records(Protocol):
    """All records, read as of one moment or within one transaction."""

    models: Models
    versions: Versions
    aliases: Aliases
    artifacts: Artifacts
    principals: Principals
    events: Events
    idempotency: Idempotency


class Database(Protocol):
    """One engine."""

    read: Records
    source: str

    async def write(self, use_case: Callable[[Records], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; what it raises rolls it back whole."""

    async def ping(self) -> None:
        """Return if the engine answers.

        Raises:
            StorageUnavailable: it does not.
        """


class BlobStore(Protocol):
    """Bytes under their SHA-256."""

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Store the bytes durably and return their number; they appear under their digest whole or not at all."""

    async def holds(self, sha256: str, size: int) -> bool:
        """Whether bytes of that length stand under the digest."""

    async def open(self, sha256: str) -> tuple[int, Iterable[bytes]]:
        """The size of a blob and its bytes in chunks."""
