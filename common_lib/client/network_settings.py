"""Read proxies and certificates from the environment, at the first attempt.

httpx could read them itself, but its constructor raises various exceptions for an invalid value, even in a client that
needs no network. Here an invalid value raises `InvalidConfiguration` with the name of the variable, and only when an
attempt needs the value.

A registry on this machine is never reached through a proxy, even if the variables set one: the proxy would receive the
token.
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
_HASHED_NAME: Final = re.compile(r"^[0-9a-f]{8}\.r?[0-9]+$")
_MAX_TEXT: Final = 200


class ProxyRule(NamedTuple):
    """A proxy, and the environment variable that sets it."""

    variable: str
    address: urls.Address


def client_options(
    config: RegistryConfig, limits: Any, transport: type[Any], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the proxy and TLS arguments for a client of httpx, so that httpx does not read the environment itself.

    Raises:
        InvalidConfiguration: a variable is invalid; the message contains its name.
    """
    variables = os.environ if environ is None else environ
    addresses = [urls.parse("url", url) for url in config.urls]
    rules = {address: proxy_for(address, variables) for address in addresses}
    proxies = [rule for rule in rules.values() if rule is not None]
    is_encrypted = any(address.scheme == "https" for address in [*addresses, *(rule.address for rule in proxies)])
    context = tls_context(config.ca_file, variables) if is_encrypted else _no_certificates()
    mounts = {
        address._replace(path="").url: None
        if rule is None
        else transport(verify=context, limits=limits, proxy=_proxy(rule, context))
        for address, rule in rules.items()
    }
    return {"trust_env": False, "verify": context, "mounts": mounts if proxies else {}}


def proxy_for(address: urls.Address, variables: Mapping[str, str]) -> ProxyRule | None:
    """Return the proxy for an address; None if no proxy is set, or `no_proxy` excludes the address.

    `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` have the same meaning as for curl. If a variable exists in
    lower case, even empty, its form in capitals is ignored. `HTTP_PROXY` is not read in a CGI script, where the sender
    of a request can set it (httpoxy.org).

    Raises:
        InvalidConfiguration: a variable that applies to this address is invalid.
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
            f"{variable} is {urls.mask_credentials(value)}: a proxy has no path; remove {proxy.path!r:.80}"
        )
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise InvalidConfiguration(
            f"{variable} is {urls.mask_credentials(value)}: for a SOCKS proxy the package socksio must be installed: "
            "pip install socksio"
        )
    return ProxyRule(variable, proxy)


def is_excepted(address: urls.Address, variable: str, value: str) -> bool:
    """Return whether `no_proxy` excludes an address: whether an entry is `*`, or matches its host, domain or network.

    Entries are separated by commas or white space. A leading dot has no effect. If an entry has a port, the port of the
    address must be the same.

    Raises:
        InvalidConfiguration: an entry looks like an IP address or a network, but is not valid.
    """
    return any(_excepts(entry, address, variable) for entry in re.split(r"[,\s]+", value) if entry)


def tls_context(ca_file: str, variables: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context that trusts `ca_file`, or else SSL_CERT_FILE or SSL_CERT_DIR, or else the defaults of httpx.

    Raises:
        InvalidConfiguration: the file or folder does not exist, or contains no certificate.
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
    """Split an entry of `no_proxy` into its host or network, without brackets, and its port; None without a port."""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        if bracket and rest.startswith("/"):
            return host.partition("%")[0] + rest, None
        if not bracket or urls.host_as_ip(host.partition("%")[0]) is None:
            raise _invalid_entry(variable, entry)
        return host.partition("%")[0], _port(rest[1:], entry, variable) if rest else None
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, _port(port, entry, variable)
    if ":" in entry and "/" not in entry and urls.host_as_ip(entry.partition("%")[0]) is None:
        raise _invalid_entry(variable, entry)
    return entry.partition("%")[0] if ":" in entry else entry, None


def _port(text: str, entry: str, variable: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5:  # noqa: PLR2004 - digits
        raise _invalid_entry(variable, entry)
    return int(text)


def _network(host: str, entry: str, variable: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(urls.host_as_ip(host) or host), strict=False)
    except ValueError:
        raise _invalid_entry(variable, entry) from None


def _invalid_entry(variable: str, entry: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{variable} has the entry {urls.mask_credentials(entry)}: it is neither a host nor a network; "
        "write names, addresses such as 127.0.0.1 or [::1], or networks such as 10.0.0.0/8 or fd00::/8"
    )


def _proxy(rule: ProxyRule, context: ssl.SSLContext) -> httpx.Proxy:
    name, _, password = rule.address.userinfo.partition(":")
    auth = (unquote(name), unquote(password)) if rule.address.userinfo else None
    is_encrypted = rule.address.scheme == "https"
    return httpx.Proxy(rule.address.url, auth=auth, ssl_context=context if is_encrypted else None)


def _no_certificates() -> ssl.SSLContext:
    # Without TLS no certificate is needed, and reading all of them would take 30 ms.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _trusting(variable: str, path: str, *, is_folder: bool) -> ssl.SSLContext:
    try:
        if is_folder:
            _check_folder(path)
            return ssl.create_default_context(capath=path)
        _check_file(path)
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        why = "it contains no certificate in PEM form"
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = str(error)
    raise InvalidConfiguration(
        f"{variable} is {path!r:.{_MAX_TEXT}}: {why}; "
        "set it to a file or folder with the CA certificates to trust, or unset it"
    )


def _check_file(path: str) -> None:
    # Checked before OpenSSL opens the path, because opening a pipe would block.
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise ValueError("it is not a file")


def _check_folder(path: str) -> None:
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    if not any(_HASHED_NAME.match(entry.name) for folder in folders for entry in folder.iterdir()):
        raise ValueError("it contains no certificate under the name of its hash, as `openssl rehash` makes it")
