"""The interface of a registry: one abstract method, `call`, and resources whose methods all use `call`."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, TypeVar

from common_lib import binding
from common_lib.artifacts.download import download, fetch
from common_lib.artifacts.model_io import convert, load
from common_lib.artifacts.upload import register
from common_lib.binding import acall, aflow, apages, call, flow, pages
from common_lib.errors import RegistryError
from common_lib.operations import (
    aliases,
    approvals,
    artifacts,
    collection,
    events,
    lifecycle,
    models,
    policies,
    principals,
    production,
    uploads,
    versions,
)
from common_lib.operations import versions as version_operations
from common_lib.operations.aliases import set_alias
from common_lib.operations.base import Operation
from common_lib.repetition import get_repeat

T = TypeVar("T")


class Resource:
    """A group of methods for one kind of object. Each method passes its operation to the `call` of the registry."""

    # A flow needs the origin of the registry for the cache, but the flows of a resource use no cache.
    origin: str = ""

    def __init__(self, call: Callable[[Operation[Any]], Any]) -> None:
        self.call = call


class Models(Resource):
    """The methods for registered models."""

    get = call(models.get)
    create = call(models.create)
    update = call(models.update)
    tombstone = call(models.tombstone)
    search = pages(models.search)


class Versions(Resource):
    """The methods for versions of models."""

    get = call(versions.get)
    resolve = call(versions.resolve)
    resolution = call(versions.resolution)
    create = call(versions.create)
    update = call(versions.update)
    transition = call(lifecycle.transition)
    recall = call(lifecycle.recall)
    reinstate = call(lifecycle.reinstate)
    tombstone = call(lifecycle.tombstone)
    search = pages(versions.search)
    manifest = call(versions.manifest)
    diff = call(versions.diff)


class Production(Resource):
    """The methods for the version in production, its predecessors, promotions and rollbacks."""

    at = call(production.at)
    history = pages(production.history)
    check = call(production.check)
    promote = flow(production.promote)
    rollback = flow(production.rollback)


class Approvals(Resource):
    """The methods for approvals and refusals of versions."""

    list_of_version = call(approvals.list_of_version)
    approve = call(approvals.approve)
    refuse = call(approvals.refuse)


class Policies(Resource):
    """The methods for policies, which are the conditions that a promotion must meet."""

    get = call(policies.get)
    put = call(policies.put)


class Aliases(Resource):
    """The methods for aliases, which are movable names for the versions of a model."""

    get = call(aliases.get)
    list_of_model = call(aliases.list_of_model)
    create = call(aliases.create)
    move = call(aliases.move)
    delete = call(aliases.delete)


class Artifacts(Resource):
    """The methods for blobs, uploads and the files of versions."""

    get_blob = call(artifacts.get_blob)
    check_presence = call(artifacts.check_presence)
    put_blob = call(artifacts.put_blob)
    put_blobs = call(artifacts.put_blobs)
    begin_upload = call(uploads.begin_upload)
    get_upload = call(uploads.get_upload)
    put_part = call(uploads.put_part)
    delete_upload = call(uploads.delete_upload)
    get_file = call(artifacts.get_file)
    verify_blob = call(artifacts.verify_blob)
    collect_garbage = call(collection.collect_garbage)


class Events(Resource):
    """The methods to read the event log."""

    after = call(events.after)


class Principals(Resource):
    """The methods for principals and their tokens."""

    whoami = call(principals.whoami)
    get = call(principals.get)
    search = pages(principals.search)
    create = call(principals.create)
    update = call(principals.update)
    issue_token = call(principals.issue_token)
    tokens = pages(principals.tokens)
    revoke_token = call(principals.revoke_token)


class ModelRegistry(ABC):
    """The interface of a blocking registry. A subclass implements only `call`, and inherits everything else.

    Adapters pass `call` on to another registry. Test doubles and fault injection implement `call` in their own way.
    `origin` is the address of the registry; the local cache stores the versions of references under this address.
    """

    origin: str = ""

    @abstractmethod
    def call(self, operation: Operation[T]) -> T:
        """Execute one operation, and return its result."""

    def retry(self, error: RegistryError) -> Any:
        """Repeat the call that raised `error`, and return its result.

        The idempotency key is the same, so the registry executes the call only once. A call with several requests, such
        as `register`, continues at the request that failed.

        Raises:
            InvalidRequest: the call that raised `error` cannot be repeated.
        """
        return get_repeat(error)(self)

    @cached_property
    def models(self) -> Models:
        """The methods for registered models."""
        return Models(self.call)

    @cached_property
    def versions(self) -> Versions:
        """The methods for versions of models."""
        return Versions(self.call)

    @cached_property
    def production(self) -> Production:
        """The methods for the version in production, its predecessors, promotions and rollbacks."""
        return Production(self.call)

    @cached_property
    def approvals(self) -> Approvals:
        """The methods for approvals and refusals of versions."""
        return Approvals(self.call)

    @cached_property
    def policies(self) -> Policies:
        """The methods for policies, which are the conditions that a promotion must meet."""
        return Policies(self.call)

    @cached_property
    def aliases(self) -> Aliases:
        """The methods for aliases, which are movable names for the versions of a model."""
        return Aliases(self.call)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The methods for blobs, uploads and the files of versions."""
        return Artifacts(self.call)

    @cached_property
    def events(self) -> Events:
        """The methods to read the event log."""
        return Events(self.call)

    @cached_property
    def principals(self) -> Principals:
        """The methods for principals and their tokens."""
        return Principals(self.call)

    resolve = binding.call(version_operations.resolve)
    set_alias = flow(set_alias)
    register = flow(register)
    fetch = flow(fetch)
    download = flow(download)
    load = flow(load)
    convert = flow(convert)


class AsyncModels(Resource):
    """The methods for registered models."""

    get = acall(models.get)
    create = acall(models.create)
    update = acall(models.update)
    tombstone = acall(models.tombstone)
    search = apages(models.search)


class AsyncVersions(Resource):
    """The methods for versions of models."""

    get = acall(versions.get)
    resolve = acall(versions.resolve)
    resolution = acall(versions.resolution)
    create = acall(versions.create)
    update = acall(versions.update)
    transition = acall(lifecycle.transition)
    recall = acall(lifecycle.recall)
    reinstate = acall(lifecycle.reinstate)
    tombstone = acall(lifecycle.tombstone)
    search = apages(versions.search)
    manifest = acall(versions.manifest)
    diff = acall(versions.diff)


class AsyncProduction(Resource):
    """The methods for the version in production, its predecessors, promotions and rollbacks."""

    at = acall(production.at)
    history = apages(production.history)
    check = acall(production.check)
    promote = aflow(production.promote)
    rollback = aflow(production.rollback)


class AsyncApprovals(Resource):
    """The methods for approvals and refusals of versions."""

    list_of_version = acall(approvals.list_of_version)
    approve = acall(approvals.approve)
    refuse = acall(approvals.refuse)


class AsyncPolicies(Resource):
    """The methods for policies, which are the conditions that a promotion must meet."""

    get = acall(policies.get)
    put = acall(policies.put)


class AsyncAliases(Resource):
    """The methods for aliases, which are movable names for the versions of a model."""

    get = acall(aliases.get)
    list_of_model = acall(aliases.list_of_model)
    create = acall(aliases.create)
    move = acall(aliases.move)
    delete = acall(aliases.delete)


class AsyncArtifacts(Resource):
    """The methods for blobs, uploads and the files of versions."""

    get_blob = acall(artifacts.get_blob)
    check_presence = acall(artifacts.check_presence)
    put_blob = acall(artifacts.put_blob)
    put_blobs = acall(artifacts.put_blobs)
    begin_upload = acall(uploads.begin_upload)
    get_upload = acall(uploads.get_upload)
    put_part = acall(uploads.put_part)
    delete_upload = acall(uploads.delete_upload)
    get_file = acall(artifacts.get_file)
    verify_blob = acall(artifacts.verify_blob)
    collect_garbage = acall(collection.collect_garbage)


class AsyncEvents(Resource):
    """The methods to read the event log."""

    after = acall(events.after)


class AsyncPrincipals(Resource):
    """The methods for principals and their tokens."""

    whoami = acall(principals.whoami)
    get = acall(principals.get)
    search = apages(principals.search)
    create = acall(principals.create)
    update = acall(principals.update)
    issue_token = acall(principals.issue_token)
    tokens = apages(principals.tokens)
    revoke_token = acall(principals.revoke_token)


class AsyncModelRegistry(ABC):
    """An asynchronous registry, with the same resources and methods as `ModelRegistry`."""

    origin: str = ""

    @abstractmethod
    def call(self, operation: Operation[T]) -> Awaitable[T]:
        """Execute one operation, and return its result."""

    async def retry(self, error: RegistryError) -> Any:
        """Repeat the call that raised `error`, and return its result.

        The idempotency key is the same, so the registry executes the call only once. A call with several requests, such
        as `register`, continues at the request that failed.

        Raises:
            InvalidRequest: the call that raised `error` cannot be repeated.
        """
        return await get_repeat(error)(self)

    @cached_property
    def models(self) -> AsyncModels:
        """The methods for registered models."""
        return AsyncModels(self.call)

    @cached_property
    def versions(self) -> AsyncVersions:
        """The methods for versions of models."""
        return AsyncVersions(self.call)

    @cached_property
    def production(self) -> AsyncProduction:
        """The methods for the version in production, its predecessors, promotions and rollbacks."""
        return AsyncProduction(self.call)

    @cached_property
    def approvals(self) -> AsyncApprovals:
        """The methods for approvals and refusals of versions."""
        return AsyncApprovals(self.call)

    @cached_property
    def policies(self) -> AsyncPolicies:
        """The methods for policies, which are the conditions that a promotion must meet."""
        return AsyncPolicies(self.call)

    @cached_property
    def aliases(self) -> AsyncAliases:
        """The methods for aliases, which are movable names for the versions of a model."""
        return AsyncAliases(self.call)

    @cached_property
    def artifacts(self) -> AsyncArtifacts:
        """The methods for blobs, uploads and the files of versions."""
        return AsyncArtifacts(self.call)

    @cached_property
    def events(self) -> AsyncEvents:
        """The methods to read the event log."""
        return AsyncEvents(self.call)

    @cached_property
    def principals(self) -> AsyncPrincipals:
        """The methods for principals and their tokens."""
        return AsyncPrincipals(self.call)

    resolve = acall(version_operations.resolve)
    set_alias = aflow(set_alias)
    register = aflow(register)
    fetch = aflow(fetch)
    download = aflow(download)
    load = aflow(load)
    convert = aflow(convert)
