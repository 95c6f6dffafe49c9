"""The address of a PostgreSQL database, parsed before any driver sees it: no message may contain a part of it.

If a password contains a special character that is not encoded, a driver splits the URL at the wrong places. The driver
then reads a piece of the password as a host, a port or a database, and prints this piece in its error.
"""

import re
from typing import Final, NamedTuple, NoReturn
from urllib.parse import quote, unquote_to_bytes

_SCHEME: Final = re.compile(r"^postgres(?:ql)?://", re.IGNORECASE)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST: Final = re.compile(r"^(?:\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._-]+)?\]|[^\[\]:]*)(?::[0-9]{1,5})?$")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_PARAMETERS: Final = (
    *("host", "port", "user", "password", "passfile", "dbname", "database", "application_name", "service"),
    *("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "target_session_attrs"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "sslnegotiation", "krbsrvname", "gsslib", "options"),
)
_HIGHEST_PORT: Final = 65_535
_ENCODE: Final = (
    "percent-encode the special characters of the password in the database URL, such as "
    "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25 and a space as %20"
)


class InvalidDatabaseUrl(ValueError):
    """The error for a malformed database URL.

    It contains no part of the URL, because any part may belong to the password.
    """


class DatabaseUrl(NamedTuple):
    """The decoded parts of a database URL, and the same URL with all special characters percent-encoded."""

    user: str
    hosts: str
    database: str
    url: str

    @property
    def display_name(self) -> str:
        """The name of the database and its host, for messages and for the marker of the store; never the password."""
        return f"{self.database or self.user or 'the default database'} at {self.hosts or 'the default host'}"

    @property
    def host_names(self) -> str:
        """The hosts without their ports."""
        return re.sub(r":[0-9]+(?=,|$)", "", self.hosts) or "the default host"

    @classmethod
    def parse(cls, text: str) -> "DatabaseUrl":
        """Parse a URL such as `postgresql://user:password@host:5432/database?sslmode=require`.

        Raises:
            InvalidDatabaseUrl: the URL is malformed, usually because the password is not percent-encoded.

        >>> DatabaseUrl.parse("postgresql://registry:p%40ss@db.example:5433/models").display_name
        'models at db.example:5433'
        """
        if _SCHEME.match(text) is None:
            raise InvalidDatabaseUrl("the database URL does not begin with postgresql://")
        _check_characters(text)
        authority, rest = _split(_SCHEME.sub("", text), "/?")
        path, query = _split(rest, "?")
        _check_borders(authority, path, query)
        login, _, hosts = authority.rpartition("@")
        user, _, password = login.partition(":")
        _check_hosts(hosts)
        parameters = _parse_parameters(query[1:])
        database = _decode(path[1:])
        url = "postgresql://" + _format_login(_decode(user), _decode(password), login) + hosts
        url += f"/{quote(database, safe='')}" if database else "/"
        url += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        return cls(
            user=_decode(user) or parameters.get("user", ""),
            hosts=hosts or _host_in(parameters),
            database=database or parameters.get("dbname") or parameters.get("database", ""),
            url=url.removesuffix("?"),
        )


def _split(text: str, ends: str) -> tuple[str, str]:
    """Split a text before the first character that is in `ends`; return both parts."""
    end = next((index for index, character in enumerate(text) if character in ends), len(text))
    return text[:end], text[end:]


def _check_characters(text: str) -> None:
    if not text.isprintable() or any(character.isspace() for character in text):
        _refuse("it contains a space, a line break or a control character")
    if "#" in text:
        _refuse("it contains a '#'")
    if "\\" in text:
        _refuse("it contains a backslash: write it as %5C")
    if _BROKEN_ESCAPE.search(text):
        _refuse("it contains a '%' without two hexadecimal digits after it")


def _check_borders(authority: str, path: str, query: str) -> None:
    if authority.count("@") > 1:
        _refuse("it contains more than one '@' before the host")
    if "@" in path or "@" in query:
        _refuse("it contains an '@' after the first '/' or '?'")
    if "/" in path[1:]:
        _refuse("it contains more than one '/' after the host")
    if authority.rpartition("@")[0].count(":") > 1:
        _refuse("it contains more than one ':' before the '@'")


def _check_hosts(hosts: str) -> None:
    for host in hosts.split(","):
        if _HOST.match(host) is None or _decode(host) != host.replace("%25", "%"):
            _refuse("its host and port are malformed")
        port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
        if port:
            _check_port(port)


def _parse_parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, part in enumerate(query.split("&") if query else (), 1):
        name, equals, value = part.partition("=")
        if not equals or name not in _PARAMETERS:
            known = ", ".join(sorted(_PARAMETERS))
            _refuse(f"its parameter number {number} is unknown (known parameters: {known})")
        if name in found:
            _refuse(f"it contains the parameter {name} twice")
        found[name] = _decode(value)
    if "sslmode" in found and found["sslmode"] not in _SSL_MODES:
        _refuse(f"its sslmode is not one of {', '.join(_SSL_MODES)}")
    for port in found.get("port", "1").split(","):
        _check_port(port)
    return found


def _check_port(text: str) -> None:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) <= _HIGHEST_PORT:
        _refuse(f"its port is not a number from 1 to {_HIGHEST_PORT}")


def _format_login(user: str, password: str, login: str) -> str:
    if not login:
        return ""
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{quote(user, safe='')}{secret}@"


def _host_in(parameters: dict[str, str]) -> str:
    host, port = parameters.get("host", ""), parameters.get("port", "")
    return f"{host}:{port}" if host and port else host


def _decode(text: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        _refuse("its percent-encoded bytes are not UTF-8")
    if "\0" in decoded:
        _refuse("it contains an encoded NUL character, which PostgreSQL does not accept")
    return decoded


def _refuse(fault: str) -> NoReturn:
    raise InvalidDatabaseUrl(f"the database URL is invalid: {fault}; {_ENCODE}") from None
