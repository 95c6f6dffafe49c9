"""The interface: abstract in one method; everything else is bound onto it, grouped by resource."""

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
    events,
    models,
    policies,
    principals,
    production,
    versions,
)
from common_lib.operations import versions as version_operations
from common_lib.operations.aliases import set_alias
from common_lib.operations.base import Operation
from common_lib.repetition import get_repeat

T = TypeVar("T")


class Resource:
    """One kind of thing in a registry; its methods are answered by the registry's `call`."""

    # Flows are told the origin of the registry for its cache; those of a resource use none.
    origin: str = ""

    def __init__(self, call: Callable[[Operation[Any]], Any]) -> None:
        self.call = call


class Models(Resource):
    """Registered models."""

    get = call(models.get)
    create = call(models.create)
    update = call(models.update)
    tombstone = call(models.tombstone)
    search = pages(models.search)


class Versions(Resource):
    """Versions of models."""

    get = call(versions.get)
    resolve = call(versions.resolve)
    resolution = call(versions.resolution)
    create = call(versions.create)
    update = call(versions.update)
    transition = call(versions.transition)
    recall = call(versions.recall)
    reinstate = call(versions.reinstate)
    tombstone = call(versions.tombstone)
    search = pages(versions.search)
    manifest = call(versions.manifest)
    diff = call(versions.diff)


class Production(Resource):
    """What is in production and what was."""

    at = call(production.at)
    history = pages(production.history)
    check = call(production.check)
    promote = flow(production.promote)
    rollback = flow(production.rollback)


class Approvals(Resource):
    """What humans say of versions."""

    of_version = call(approvals.of_version)
    approve = call(approvals.approve)
    refuse = call(approvals.refuse)


class Policies(Resource):
    """What promotions must fulfil."""

    get = call(policies.get)
    put = call(policies.put)


class Aliases(Resource):
    """Free pointers to versions."""

    get = call(aliases.get)
    of_model = call(aliases.of_model)
    create = call(aliases.create)
    move = call(aliases.move)
    delete = call(aliases.delete)


class Artifacts(Resource):
    """Bytes of versions."""

    find_blob = call(artifacts.find_blob)
    presence = call(artifacts.presence)
    put_blob = call(artifacts.put_blob)
    put_blobs = call(artifacts.put_blobs)
    begin_upload = call(artifacts.begin_upload)
    find_upload = call(artifacts.find_upload)
    put_part = call(artifacts.put_part)
    abandon_upload = call(artifacts.abandon_upload)
    get_file = call(artifacts.get_file)
    verify_blob = call(artifacts.verify_blob)
    collect_garbage = call(artifacts.collect_garbage)


class Events(Resource):
    """The log."""

    after = call(events.after)


class Principals(Resource):
    """Principals and their tokens."""

    whoami = call(principals.whoami)
    get = call(principals.get)
    search = pages(principals.search)
    create = call(principals.create)
    update = call(principals.update)
    issue_token = call(principals.issue_token)
    tokens = pages(principals.tokens)
    revoke_token = call(principals.revoke_token)


class ModelRegistry(ABC):
    """A registry to be called and waited for; whoever implements `call` has all of it.

    Adapters are registries that answer `call` by the registry they were given; caches, doubles for tests and fault
    injection are other answers to `call`. `origin` is the address of the registry behind it, under which the local
    cache keeps what references mean.
    """

    origin: str = ""

    @abstractmethod
    def call(self, operation: Operation[T]) -> T:
        """Answer one operation."""

    def retry(self, error: RegistryError) -> Any:
        """Repeat the call that raised `error`: the same request under the same key, so that it is done once.

        A call of several requests, such as `register`, goes on where it stopped. The result is that of the call.

        Raises:
            InvalidRequest: the error is of something that repeating cannot mend.
        """
        return get_repeat(error)(self)

    @cached_property
    def models(self) -> Models:
        """Registered models."""
        return Models(self.call)

    @cached_property
    def versions(self) -> Versions:
        """Versions of models."""
        return Versions(self.call)

    @cached_property
    def production(self) -> Production:
        """What is in production and what was."""
        return Production(self.call)

    @cached_property
    def approvals(self) -> Approvals:
        """What humans say of versions."""
        return Approvals(self.call)

    @cached_property
    def policies(self) -> Policies:
        """What promotions must fulfil."""
        return Policies(self.call)

    @cached_property
    def aliases(self) -> Aliases:
        """Free pointers to versions."""
        return Aliases(self.call)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Bytes of versions."""
        return Artifacts(self.call)

    @cached_property
    def events(self) -> Events:
        """The log."""
        return Events(self.call)

    @cached_property
    def principals(self) -> Principals:
        """Principals and their tokens."""
        return Principals(self.call)

    resolve = binding.call(version_operations.resolve)
    set_alias = flow(set_alias)
    register = flow(register)
    fetch = flow(fetch)
    download = flow(download)
    load = flow(load)
    convert = flow(convert)


class AsyncModels(Resource):
    """Registered models."""

    get = acall(models.get)
    create = acall(models.create)
    update = acall(models.update)
    tombstone = acall(models.tombstone)
    search = apages(models.search)


class AsyncVersions(Resource):
    """Versions of models."""

    get = acall(versions.get)
    resolve = acall(versions.resolve)
    resolution = acall(versions.resolution)
    create = acall(versions.create)
    update = acall(versions.update)
    transition = acall(versions.transition)
    recall = acall(versions.recall)
    reinstate = acall(versions.reinstate)
    tombstone = acall(versions.tombstone)
    search = apages(versions.search)
    manifest = acall(versions.manifest)
    diff = acall(versions.diff)


class AsyncProduction(Resource):
    """What is in production and what was."""

    at = acall(production.at)
    history = apages(production.history)
    check = acall(production.check)
    promote = aflow(production.promote)
    rollback = aflow(production.rollback)


class AsyncApprovals(Resource):
    """What humans say of versions."""

    of_version = acall(approvals.of_version)
    approve = acall(approvals.approve)
    refuse = acall(approvals.refuse)


class AsyncPolicies(Resource):
    """What promotions must fulfil."""

    get = acall(policies.get)
    put = acall(policies.put)


class AsyncAliases(Resource):
    """Free pointers to versions."""

    get = acall(aliases.get)
    of_model = acall(aliases.of_model)
    create = acall(aliases.create)
    move = acall(aliases.move)
    delete = acall(aliases.delete)


class AsyncArtifacts(Resource):
    """Bytes of versions."""

    find_blob = acall(artifacts.find_blob)
    presence = acall(artifacts.presence)
    put_blob = acall(artifacts.put_blob)
    put_blobs = acall(artifacts.put_blobs)
    begin_upload = acall(artifacts.begin_upload)
    find_upload = acall(artifacts.find_upload)
    put_part = acall(artifacts.put_part)
    abandon_upload = acall(artifacts.abandon_upload)
    get_file = acall(artifacts.get_file)
    verify_blob = acall(artifacts.verify_blob)
    collect_garbage = acall(artifacts.collect_garbage)


class AsyncEvents(Resource):
    """The log."""

    after = acall(events.after)


class AsyncPrincipals(Resource):
    """Principals and their tokens."""

    whoami = acall(principals.whoami)
    get = acall(principals.get)
    search = apages(principals.search)
    create = acall(principals.create)
    update = acall(principals.update)
    issue_token = acall(principals.issue_token)
    tokens = apages(principals.tokens)
    revoke_token = acall(principals.revoke_token)


class AsyncModelRegistry(ABC):
    """A registry to be awaited: the same resources and verbs as `ModelRegistry`."""

    origin: str = ""

    @abstractmethod
    def call(self, operation: Operation[T]) -> Awaitable[T]:
        """Answer one operation."""

    async def retry(self, error: RegistryError) -> Any:
        """Repeat the call that raised `error`: the same request under the same key, so that it is done once.

        A call of several requests, such as `register`, goes on where it stopped. The result is that of the call.

        Raises:
            InvalidRequest: the error is of something that repeating cannot mend.
        """
        return await get_repeat(error)(self)

    @cached_property
    def models(self) -> AsyncModels:
        """Registered models."""
        return AsyncModels(self.call)

    @cached_property
    def versions(self) -> AsyncVersions:
        """Versions of models."""
        return AsyncVersions(self.call)

    @cached_property
    def production(self) -> AsyncProduction:
        """What is in production and what was."""
        return AsyncProduction(self.call)

    @cached_property
    def approvals(self) -> AsyncApprovals:
        """What humans say of versions."""
        return AsyncApprovals(self.call)

    @cached_property
    def policies(self) -> AsyncPolicies:
        """What promotions must fulfil."""
        return AsyncPolicies(self.call)

    @cached_property
    def aliases(self) -> AsyncAliases:
        """Free pointers to versions."""
        return AsyncAliases(self.call)

    @cached_property
    def artifacts(self) -> AsyncArtifacts:
        """Bytes of versions."""
        return AsyncArtifacts(self.call)

    @cached_property
    def events(self) -> AsyncEvents:
        """The log."""
        return AsyncEvents(self.call)

    @cached_property
    def principals(self) -> AsyncPrincipals:
        """Principals and their tokens."""
        return AsyncPrincipals(self.call)

    resolve = acall(version_operations.resolve)
    set_alias = aflow(set_alias)
    register = aflow(register)
    fetch = aflow(fetch)
    download = aflow(download)
    load = aflow(load)
    convert = aflow(convert)
