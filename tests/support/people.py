"""Human and service principals, each with its own registry client."""

import contextlib
import uuid
from collections.abc import Callable, Iterator

from common_lib import Grant, HttpRegistry, ModelRegistry, Role
from common_lib.rules.access import PrincipalKind

Person = Callable[..., HttpRegistry]


@contextlib.contextmanager
def people(admin: ModelRegistry, connect: Callable[[str], HttpRegistry]) -> Iterator[Person]:
    """Provide a function that creates a principal and returns its registry; by default for a human of integration."""
    with contextlib.ExitStack() as stack:

        def person(
            name: str = "alice", role: Role = Role.INTEGRATION, kind: PrincipalKind = PrincipalKind.HUMAN
        ) -> HttpRegistry:
            full = f"{name}-{uuid.uuid4().hex[:8]}"
            admin.principals.create(full, kind, [Grant(role=role, models="*")])
            return stack.enter_context(connect(admin.principals.issue_token(full).secret or ""))

        yield person
