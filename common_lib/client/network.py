"""Settings of the network in the environment: proxies and certificates, read by ourselves at the first attempt.

Read by httpx they would fail in the constructor with whatever its parsers raise, also for clients that never leave this
machine. Here a value that is not understood is an `InvalidConfiguration` that names its variable, raised when, and only
when, an attempt needs it.

A registry on this machine is never reached by a proxy, whatever the variables say: the token would go to the proxy.
"""

import fnmatch
import importlib.util
import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import httpx

from common_lib import urls
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_HASHED: Final = re.compile(r"^[0-9a-f]{8}\.r?[0-9]+$")
_SHOWN: Final = 200


class ProxyRule(NamedTuple):
    """A proxy, and the variable that names it."""

    variable: str
    address: urls.Address


def client_options(
    config: RegistryConfig, limits: Any, transport: type[Any], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the arguments by which httpx reaches these addresses, and reads nothing of the environment itself.

    Raises:
        InvalidConfiguration: a variable is not understood; the message names it.
    """
    variables = os.environ if environ is None else environ
    addresses = [urls.parse("url", url) for url in config.urls]
    rules = {address: proxy_for(address, variables) for address in addresses}
    proxies = [rule for rule in rules.values() if rule is not None]
    is_encrypted = any(address.scheme == "https" for address in [*addresses, *(rule.address for rule in proxies)])
    context = tls_context(config.ca_file, variables) if is_encrypted else _no_certificates()
    mounts = {
        _pattern(address): None
        if rule is None
        else transport(verify=context, limits=limits, proxy=_proxy(rule, context))
        for address, rule in rules.items()
    }
    return {"trust_env": False, "verify": context, "mounts": mounts if proxies else {}}


def proxy_for(address: urls.Address, variables: Mapping[str, str]) -> ProxyRule | None:
    """Return the proxy for an address, or None: `http_proxy`, `https_proxy`, `all_proxy`, unless `no_proxy` names it.

    The variables mean what they mean to curl; those in small letters come first, and an empty one switches the other
    off. `HTTP_PROXY` is not read within CGI, where a request sets it (httpoxy.org).

    Raises:
        InvalidConfiguration: a variable that counts for this address is not understood.
    """
    if address.is_loopback:
        return None
    for name in (f"{address.scheme}_proxy", "all_proxy"):
        variable, value = _variable(name, variables)
        if value:
            break
    else:
        return None
    if is_excepted(address, *_variable("no_proxy", variables)):
        return None
    text = value if "://" in value else f"http://{value}"
    proxy = urls.parse(variable, text, schemes=_PROXY_SCHEMES, with_userinfo=True)
    if proxy.path:
        raise InvalidConfiguration(
            f"{variable} is {urls.masked(value)}: a proxy has no path; leave out {proxy.path!r:.80}"
        )
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise InvalidConfiguration(
            f"{variable} is {urls.masked(value)}: for a SOCKS proxy the package socksio must be installed: "
            "pip install socksio"
        )
    return ProxyRule(variable, proxy)


def is_excepted(address: urls.Address, variable: str, value: str) -> bool:
    """Return whether `no_proxy` names an address: its host, a domain above it, its network, or `*`.

    Entries are separated by commas or white space; a leading dot changes nothing; a port, if one is given, counts.

    Raises:
        InvalidConfiguration: an entry that must be a number or a network is not one.
    """
    return any(_excepts(entry, address, variable) for entry in re.split(r"[,\s]+", value) if entry)


def tls_context(ca_file: str, variables: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the certificates of `ca_file`, SSL_CERT_FILE or SSL_CERT_DIR, or else those that httpx brings.

    Raises:
        InvalidConfiguration: the file or folder is not there, or holds no certificate.
    """
    if ca_file:
        return _trusting("ca_file (REGISTRY_CA_FILE)", ca_file, is_folder=False)
    if file := variables.get("SSL_CERT_FILE"):
        return _trusting("SSL_CERT_FILE", file, is_folder=False)
    if folder := variables.get("SSL_CERT_DIR"):
        return _trusting("SSL_CERT_DIR", folder, is_folder=True)
    return httpx.create_ssl_context(trust_env=False)


def _variable(name: str, variables: Mapping[str, str]) -> tuple[str, str]:
    if name in variables:
        return name, variables[name].strip()
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in variables:
        return upper, ""
    return upper, variables.get(upper, "").strip()


def _excepts(entry: str, address: urls.Address, variable: str) -> bool:
    if entry == "*":
        return True
    host, port = _entry_parts(entry.rpartition("://")[2], variable)
    if port is not None and port != address.effective_port:
        return False
    number = urls.host_as_ip(address.host)
    if "/" in host or urls.host_as_ip(host) is not None:
        return number is not None and number in _network(host, entry, variable)
    name, domain = address.host.rstrip("."), host.removeprefix("*").strip(".").lower()
    if "*" in domain:
        return fnmatch.fnmatchcase(name, domain)
    return number is None and domain != "" and (name == domain or name.endswith(f".{domain}"))


def _entry_parts(entry: str, variable: str) -> tuple[str, int | None]:
    """Split an entry into host or network, without brackets, and port."""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        if bracket and rest.startswith("/"):
            return host.partition("%")[0] + rest, None
        if not bracket or urls.host_as_ip(host.partition("%")[0]) is None:
            raise _not_understood(variable, entry)
        return host.partition("%")[0], _port(rest[1:], entry, variable) if rest else None
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, _port(port, entry, variable)
    if ":" in entry and "/" not in entry and urls.host_as_ip(entry.partition("%")[0]) is None:
        raise _not_understood(variable, entry)
    return entry.partition("%")[0] if ":" in entry else entry, None


def _port(text: str, entry: str, variable: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5:  # noqa: PLR2004 - digits
        raise _not_understood(variable, entry)
    return int(text)


def _network(host: str, entry: str, variable: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(urls.host_as_ip(host) or host), strict=False)
    except ValueError:
        raise _not_understood(variable, entry) from None


def _not_understood(variable: str, entry: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{variable} has the entry {urls.masked(entry)}: it is neither a host nor a network; "
        "write names, numbers such as 127.0.0.1 or [::1], or networks such as 10.0.0.0/8 or fd00::/8"
    )


def _proxy(rule: ProxyRule, context: ssl.SSLContext) -> httpx.Proxy:
    name, _, password = rule.address.userinfo.partition(":")
    auth = (unquote(name), unquote(password)) if rule.address.userinfo else None
    is_encrypted = rule.address.scheme == "https"
    return httpx.Proxy(rule.address.url, auth=auth, ssl_context=context if is_encrypted else None)


def _pattern(address: urls.Address) -> str:
    return address._replace(path="").url


def _no_certificates() -> ssl.SSLContext:
    # Nothing is encrypted: to read all certificates would take 30 ms.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _trusting(variable: str, place: str, *, is_folder: bool) -> ssl.SSLContext:
    try:
        if is_folder:
            _check_folder(place)
            return ssl.create_default_context(capath=place)
        _check_file(place)
        return ssl.create_default_context(cafile=place)
    except ssl.SSLError:
        why = "it holds no certificate in PEM form"
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = str(error)
    raise InvalidConfiguration(
        f"{variable} is {place!r:.{_SHOWN}}: {why}; name the certificates of the authorities to trust, or unset it"
    )


def _check_file(place: str) -> None:
    # Before OpenSSL opens it: a pipe in its place would hold us up.
    if not stat.S_ISREG(Path(place).stat().st_mode):
        raise ValueError("it is not a file")


def _check_folder(place: str) -> None:
    folders = [Path(folder) for folder in place.split(os.pathsep) if folder]
    if not any(_HASHED.match(entry.name) for folder in folders for entry in folder.iterdir()):
        raise ValueError("it holds no certificate under its hash, as `openssl rehash` names them")
