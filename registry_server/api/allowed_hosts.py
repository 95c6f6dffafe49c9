"""Checks of the HTTP version, the target and the host of a request: the request must be meant for this server.

By DNS rebinding, a web page can make its own host name lead to a server on loopback. And if a proxy and this server
understood an ambiguous target differently, the proxy would check one request and the server would run another. Source:
RFC 9110, section 7.2 (Host), section 15.5.20 (421); RFC 9112, sections 2.3, 3.2 and 3.3.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from registry_server.domain import errors

# The path begins with a slash, and all of it is visible ASCII without a fragment.
ORIGIN_FORM: Final = re.compile(rb"/[!\"$-~]*").fullmatch
_ABSOLUTE_FORM: Final = re.compile(rb"(?i:https?)://([^/?#]+)(/[!\"$-~]*)").fullmatch
_VERSIONS: Final = frozenset({"1.1", "1.0"})
_HOST: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?)(?::([0-9]{1,5}))?"
)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_HIGHEST_PORT: Final = 65_535


class AllowedHosts:
    """The host names that this server accepts, with any port: the names of loopback, and the configured names.

    Raises:
        ValueError: a configured name is not a host name or address.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_normalize(name) for name in (*_LOOPBACK, *names))

    def find_refusal(self, version: str, target: bytes, hosts: list[bytes]) -> errors.RegistryError | None:
        """Return why a request with this target and these Host headers is refused, or None if it is accepted.

        >>> AllowedHosts().find_refusal("1.1", b"/v1/models", [b"LOCALHOST.:8321"])
        >>> AllowedHosts(["registry.example"]).find_refusal("1.1", b"/", [b"evil.example"]).code
        <Code.MISDIRECTED_REQUEST: 'misdirected_request'>
        """
        if version not in _VERSIONS:
            return errors.HttpVersionNotSupported(version)
        if len(hosts) != 1:
            return errors.HostHeaderCount(_join(hosts), len(hosts))
        refused = self._check_name(hosts[0], "Host")
        return refused or (None if ORIGIN_FORM(target) else self._check_target(target, hosts[0]))

    def _check_target(self, target: bytes, host: bytes) -> errors.RegistryError | None:
        absolute = _ABSOLUTE_FORM(target)
        if absolute is None:
            return errors.TargetMalformed(_join([target]))
        refused = self._check_name(absolute[1], "target")
        if refused is None and _normalize(_join([absolute[1]])) != _normalize(_join([host])):
            return errors.HostsDiffer(_join([host]))
        return refused

    def _check_name(self, host: bytes, field: str) -> errors.RegistryError | None:
        text = _join([host])
        try:
            name = _normalize(text)
        except ValueError:
            return errors.HostMalformed(field, text)
        return None if name in self._names else errors.Misdirected(field, text, name)


def _normalize(host: str) -> str:
    """Return the host without its port, in lower case and in its standard form.

    Raises:
        ValueError: `host` is not a host name or address.
    """
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 0) > _HIGHEST_PORT:
        raise ValueError(f"{host!r:.100} is not the name or address of a host")
    name = match[1].lower()
    if name.startswith("["):
        return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
    return name.removesuffix(".")


def _join(values: list[bytes]) -> str:
    return ", ".join(value.decode("latin-1") for value in values)
