"""Parse addresses with stricter rules than the libraries that use them later.

All these libraries understand an accepted address in the same way, so they raise no errors about it.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final, NamedTuple

from common_lib.errors import InvalidConfiguration

_MAX_TEXT: Final = 200
_MAX_PORT: Final = 65_535
_MAX_HOST: Final = 253
_LABEL: Final = re.compile(r"^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$(?!\n)")
# If the last label of a host matches this, every parser treats the host as an IPv4 address.
_NUMERIC: Final = re.compile(r"^(?:[0-9]+|0[xX][0-9A-Fa-f]*)$(?!\n)")
_PATH: Final = re.compile(r"^(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+)*$(?!\n)")
_WHITE: Final = " \t\r\n"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ENCODE: Final = "the name and password need percent-encoding"
_REMEDY: Final = "write http://HOST:PORT or https://HOST"


class Address(NamedTuple):
    """The parts of an address. `host` is in lower case without brackets; `path` never ends with a slash."""

    scheme: str
    host: str
    port: int | None
    path: str
    userinfo: str

    @property
    def url(self) -> str:
        """The address as text, without name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}{self.path}"

    @property
    def effective_port(self) -> int:
        """The port to connect to: the port in the address, or the default port of the scheme."""
        return self.port or _DEFAULT_PORTS.get(self.scheme, 1080)

    @property
    def is_loopback(self) -> bool:
        """True if the host is this machine, so that no network is needed."""
        return is_loopback(self.host)


def parse(
    name: str, text: object, *, schemes: Collection[str] = ("http", "https"), with_userinfo: bool = False
) -> Address:
    """Parse an address. White space before and after the address is removed.

    Raises:
        InvalidConfiguration: the address is not valid. The message begins with `name` and contains no password.
    """
    if not isinstance(text, str):
        raise InvalidConfiguration(f"{name} is {text!r:.{_MAX_TEXT}}: it must be a string; {_REMEDY}")
    whole = text.strip(_WHITE)
    try:
        return _parse(whole, schemes, with_userinfo=with_userinfo)
    except ValueError as error:
        raise InvalidConfiguration(f"{name} is {mask_credentials(whole)}: {error}") from None


def mask_credentials(text: str) -> str:
    """Format an address for a message: in quotes, escaped and shortened, with `***` for its name and password."""
    before, at, after = text.rpartition("@")
    if at:
        scheme, slashes, _ = before.partition("://")
        text = f"{scheme + slashes if slashes else ''}***@{after}"
    return f"{text!r:.{_MAX_TEXT}}"


def host_as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Convert a host to an IP address; None if it is a name. An IPv4 address in IPv6 form is converted to IPv4."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (number.ipv4_mapped or number) if isinstance(number, ipaddress.IPv6Address) else number


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost`, a name that ends with `.localhost`, or a loopback address.

    The unspecified address (`0.0.0.0` or `::`) counts too, because a connection to it reaches this machine.
    Source: RFC 6761, section 6.3.
    """
    number = host_as_ip(host)
    if number is not None:
        return number.is_loopback or number.is_unspecified
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _parse(text: str, schemes: Collection[str], *, with_userinfo: bool) -> Address:
    if not text:
        raise ValueError(f"it is empty; {_REMEDY}")
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        raise ValueError(f"it has no scheme; {_REMEDY}")
    if scheme.lower() not in schemes:
        raise ValueError(f"its scheme is not one of {', '.join(schemes)}; {_REMEDY}")
    authority, slash, path = rest.partition("/")
    userinfo, at, host_and_port = authority.rpartition("@")
    if at and not with_userinfo:
        raise ValueError("it contains a name or a password; remove it, and pass the token as token= or REGISTRY_TOKEN")
    if "@" in path:
        # The slash probably belongs to the password, so the parsed host, port and path are parts of the password. The
        # message repeats none of them, and no token is sent to this host.
        raise ValueError(f"{_ENCODE}: write each / in the name or password as %2F, and each @ in the path as %40")
    _check_characters(userinfo, _ENCODE)
    _check_characters(host_and_port + slash + path, "")
    host, port = _split_host_and_port(host_and_port)
    path = (slash + path).rstrip("/")
    if not _PATH.match(path) or {".", ".."} & set(path.split("/")):
        raise ValueError(f"its path {path!r:.80} is not valid; write names with single slashes, without . and ..")
    return Address(scheme.lower(), host, port, path, userinfo)


def _check_characters(text: str, remedy: str) -> None:
    if "?" in text or "#" in text:
        raise ValueError(remedy or "it has a query or a fragment; remove the part that begins with ? or #")
    if not text.isascii():
        raise ValueError(remedy or "it has characters that are not ASCII; write the name in its ASCII form, xn--…")
    if any(not c.isprintable() or c in ' "<>\\^`{|}' for c in text):
        raise ValueError(remedy or f"it has a space or another character that is not allowed in an address; {_REMEDY}")


def _split_host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("its brackets do not enclose the host; write an IPv6 address as [::1] or [::1]:8321")
        return _ipv6(host), _port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError("its host and port have several colons; write an IPv6 address in brackets, such as [::1]:8321")
    return _name_or_ipv4(host), _port(port) if colon else None


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 5 or not 1 <= int(text) <= _MAX_PORT:  # noqa: PLR2004 - digits
        raise ValueError(f"its port {text!r:.20} is not valid; write a number from 1 to {_MAX_PORT}")
    return int(text)


def _ipv6(host: str) -> str:
    if "%" in host:
        raise ValueError("it has an IPv6 zone, which is not supported; remove the part that begins with %")
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"its host {host!r:.60} is not an IPv6 address; write it as in [::1]") from None


def _name_or_ipv4(host: str) -> str:
    labels = host.removesuffix(".").split(".")
    if _NUMERIC.match(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(
                f"its host {host!r:.60} is not an IPv4 address; write four numbers from 0 to 255"
            ) from None
    if not host or len(host) > _MAX_HOST or not all(map(_LABEL.match, labels)):
        raise ValueError(f"its host {host!r:.60} is not a valid host name")
    return host.lower()
