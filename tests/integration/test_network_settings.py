"""Network settings of the environment: the same meaning as for curl, errors with names, and read only when needed."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.strategy import Strategy
from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig, urls
from common_lib.client import network_settings
from common_lib.config import ResolveRules
from common_lib.errors import ConnectionFailed, InvalidConfiguration, RegistryError
from tests.conftest import Server
from tests.support.cli import Cli
from tests.support.steps import promoted

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
TOKEN = "mrg_secret"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of this machine."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Recorder:
    """A proxy that answers 502 to every request and records the requests."""

    url: str = ""
    port: int = 0
    heads: list[bytes] = field(default_factory=list)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Start a proxy on a real socket."""
    found = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found.port = listening.getsockname()[1]
        found.url = f"http://127.0.0.1:{found.port}"

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        found.heads.append(connection.recv(65536))
                        connection.sendall(b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield found
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def error_of_call(url: str, *, asynchronous: bool = False, **options: Any) -> RegistryError:
    """Return the error of one attempt at an address where no server answers."""
    config = RegistryConfig(url=url, token=TOKEN, attempts=1, resolve=None, attempt_timeout_s=1.0, **options)

    async def run() -> None:
        async with AsyncHttpRegistry(config) as registry:
            await registry.principals.whoami()

    def block() -> None:
        with HttpRegistry(config) as registry:
            registry.principals.whoami()

    with pytest.raises(RegistryError) as failed:
        asyncio.run(run()) if asynchronous else block()
    assert TOKEN not in str(failed.value)
    return failed.value


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.8.7", "[::1]", "localhost", "LOCALHOST", "a.localhost", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104
)
def test_this_machine_is_never_reached_through_a_proxy(
    host: str, variable: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    """The token would go to the proxy, so no variable changes that."""
    monkeypatch.setenv(variable, recorder.url)
    monkeypatch.setenv("NO_PROXY", "example.com")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert isinstance(error_of_call(f"http://{host}:{port}", asynchronous=asynchronous), ConnectionFailed)
    assert recorder.heads == []


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_another_machine_is_reached_through_the_proxy(
    variable: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    """With the name and password of its address; an address without a scheme is http."""
    monkeypatch.setenv(variable, f"us%40er:pass@127.0.0.1:{recorder.port}")
    error_of_call("http://registry.example:8321/base", asynchronous=asynchronous)
    (head,) = recorder.heads
    assert head.startswith(b"GET http://registry.example:8321/base/v1/whoami HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNAZXI6cGFzcw==" in head


def test_a_proxy_for_https_does_not_see_the_token(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client opens a tunnel through it."""
    monkeypatch.setenv("HTTPS_PROXY", recorder.url)
    error = error_of_call("https://registry.example")
    assert "the proxy refuses" in str(error)
    (head,) = recorder.heads
    assert head.startswith(b"CONNECT registry.example:443 ")
    assert TOKEN.encode() not in head


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("localhost,[::1]", "http://registry.example", False),
        ("*", "http://registry.example", True),
        ("registry.example", "http://registry.example", True),
        ("example", "http://registry.example:8321", True),
        (".example", "http://registry.example", True),
        (".registry.example", "http://registry.example", True),
        ("*.example", "http://registry.example", True),
        ("egistry.example", "http://registry.example", False),
        ("REGISTRY.Example.", "http://registry.example", True),
        ("registry.example", "http://registry.example.", True),
        (" a , registry.example ", "http://registry.example", True),
        ("a registry.example", "http://registry.example", True),
        ("registry.example:8321", "http://registry.example:8321", True),
        ("registry.example:80", "http://registry.example", True),
        ("registry.example:80", "http://registry.example:8321", False),
        ("http://registry.example", "http://registry.example", True),
        ("10.0.0.0/8", "http://10.1.2.3:8321", True),
        ("10.0.0.1/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]", True),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("1.2.3", "http://10.1.2.3", False),
        ("10.1.*", "http://10.1.2.3", True),
        ("fd00::/8", "http://[fd12::1]:8321", True),
        ("[fd00::]/8", "http://[fd12::1]:8321", True),
        ("[fd12::1]", "http://[fd12:0::1]:8321", True),
        ("fd12::1", "http://[fd12:0::1]", True),
        ("[fd12::1]:8321", "http://[fd12::1]:8321", True),
        ("[fd12::1]:8321", "http://[fd12::1]", False),
        ("fd00::/8", "http://registry.example", False),
        ("", "http://registry.example", False),
        (",, ,", "http://registry.example", False),
    ],
)
def test_no_proxy_has_the_same_meaning_as_for_curl(no_proxy: str, url: str, excepted: bool) -> None:  # noqa: FBT001 - a table
    """Hosts, domains, IP addresses, networks and ports, in all usual notations."""
    variables = {"http_proxy": "http://proxy.example:3128", "NO_PROXY": no_proxy}
    assert (network_settings.proxy_for(urls.parse("url", url), variables) is None) is excepted


@pytest.mark.parametrize(
    "entry", ["300.1.1.1/8", "10.0.0.0/99", "a/b", "[::1", "[x]", "fd00::/x", "a:b", "::g", "a:99999999"]
)
def test_an_invalid_entry_of_no_proxy_is_refused(entry: str) -> None:
    """If it were ignored, the token would be sent to the proxy."""
    variables = {"http_proxy": "http://proxy.example:3128", "no_proxy": f"localhost,{entry}"}
    with pytest.raises(InvalidConfiguration, match="no_proxy has the entry") as refused:
        network_settings.proxy_for(urls.parse("url", "http://10.1.2.3"), variables)
    assert repr(entry) in str(refused.value)


def test_lower_case_variables_have_precedence() -> None:
    """An empty one disables that in capitals, and a request to a CGI server cannot set a proxy."""
    there = urls.parse("url", "http://registry.example")

    def of(**variables: str) -> str | None:
        found = network_settings.proxy_for(there, variables)
        return found.address.host if found else None

    assert of(http_proxy="http://a", HTTP_PROXY="http://b") == "a"
    assert of(http_proxy="", HTTP_PROXY="http://b") is None
    assert of(http_proxy="", ALL_PROXY="http://c") == "c"
    assert of(HTTP_PROXY="http://b", REQUEST_METHOD="GET") is None
    assert of(https_proxy="http://d") is None


WRONG = [
    ("ALL_PROXY", "socks5://u:s3cr3t@127.0.0.1:1080", "http", "socksio"),
    ("ALL_PROXY", "socks4://127.0.0.1:1080", "http", "scheme"),
    ("HTTP_PROXY", "http://[::1", "http", "brackets"),
    ("HTTP_PROXY", "http://proxy:99999", "http", "99999"),
    ("HTTP_PROXY", "http://u:s3cr3t@pro xy:1", "http", "space"),
    ("HTTP_PROXY", "http://u:s3cr3t#x@proxy:1", "http", ""),
    ("HTTP_PROXY", "http://u:s3cr3t/x@proxy:1", "http", "%2F"),
    ("HTTP_PROXY", "http://u:80/s3cr3t@proxy:1", "http", "%2F"),
    ("HTTP_PROXY", "http//u:s3cr3t@proxy", "http", "%2F"),
    ("HTTP_PROXY", "http://proxy:1/path", "http", "/path"),
    ("HTTP_PROXY", "http://", "http", ""),
    ("HTTPS_PROXY", "ftp://proxy", "https", "scheme"),
    ("SSL_CERT_FILE", "/missing/ca.pem", "https", "No such file"),
    ("SSL_CERT_FILE", "{folder}", "https", "not a file"),
    ("SSL_CERT_FILE", "{folder}/empty.pem", "https", "no certificate"),
    ("SSL_CERT_FILE", "{folder}/garbage.pem", "https", "no certificate"),
    ("SSL_CERT_FILE", "{folder}/fifo", "https", "not a file"),
    ("SSL_CERT_FILE", "a\0b", "https", ""),
    ("SSL_CERT_DIR", "/missing", "https", "No such file"),
    ("SSL_CERT_DIR", "{folder}", "https", "no certificate"),
    ("SSL_CERT_DIR", "{folder}/garbage.pem", "https", "Not a directory"),
    ("REGISTRY_CA_FILE", "/missing/ca.pem", "https", "No such file"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with files that are not certificates."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "garbage.pem").write_bytes(b"\xff\xfe-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize(("variable", "value", "scheme", "why"), WRONG)
def test_an_invalid_variable_is_refused_by_name(  # noqa: PLR0917 - a table
    variable: str,
    value: str,
    scheme: str,
    why: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    asynchronous: bool,
) -> None:
    """The first call that needs it raises InvalidConfiguration, which contains no password."""
    value = value.replace("{folder}", str(folder))
    if "\0" in value:
        with pytest.raises(InvalidConfiguration, match=variable):
            network_settings.tls_context("", {variable: value})
        return
    monkeypatch.setenv(variable, value)
    error = error_of_call(f"{scheme}://registry.example", asynchronous=asynchronous)
    assert isinstance(error, InvalidConfiguration)
    assert variable in str(error)
    assert why in str(error)
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize("entry", ["http://u:s3cr3t@host", "u:s3cr3t@10.0.0.0/8", "[::1]:s3cr3t@host"])
def test_the_error_about_no_proxy_contains_no_password(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry with a password is refused."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", entry)
    error = error_of_call("http://registry.example", asynchronous=False)
    assert isinstance(error, InvalidConfiguration)
    assert "NO_PROXY" in str(error)
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize(("variable", "value", "scheme", "_"), WRONG)
def test_calls_to_this_machine_do_not_read_the_variables(  # noqa: PLR0917 - a table
    variable: str,
    value: str,
    scheme: str,
    _: str,
    folder: Path,
    sqlite_server: Server,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registry on the loopback with plain http works with any value."""
    if "\0" not in value:
        monkeypatch.setenv(variable, value.replace("{folder}", str(folder)))
    with sqlite_server.registry() as registry:
        registry.models.create(name, "forecasting")


def test_local_files_and_stored_answers_need_no_network_settings(
    sqlite_server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched versions, the command line with --offline, and resolves from the cache."""
    rules = ResolveRules(fresh_s=0.0, revalidate_s=0.0)
    config = RegistryConfig(url=sqlite_server.url, token=sqlite_server.token, resolve=rules)
    reference = f"models:/{name}/production"
    with HttpRegistry(config) as registry:
        registry.models.create(name, "forecasting")
        promoted(registry, name)
        registry.fetch(reference)
        assert registry.resolve(reference).version == 1

    def broken() -> InvalidConfiguration:
        return InvalidConfiguration("HTTP_PROXY is broken")

    def refuse(*_: Any) -> Any:
        raise broken()

    # On the loopback no variable is read, so the settings are made to fail here.
    monkeypatch.setattr(network_settings, "proxy_for", refuse)
    with HttpRegistry(config) as registry:
        assert registry.fetch(reference, local_files_only=True).version.version == 1
        assert registry.versions.resolution(reference).stale
        assert "HTTP_PROXY is broken" in registry.versions.resolution(reference).reason
        assert Strategy(registry).trading_model(name).version.version == 1
        with pytest.raises(InvalidConfiguration, match="HTTP_PROXY is broken"):
            registry.resolve(f"models:/{name}/1")

    async def run() -> None:
        async with AsyncHttpRegistry(config) as registry:
            assert (await registry.fetch(reference, local_files_only=True)).version.version == 1
            assert (await registry.versions.resolution(reference)).stale
            with pytest.raises(InvalidConfiguration, match="HTTP_PROXY is broken"):
                await registry.resolve(f"models:/{name}/1")

    asyncio.run(run())
    cli = Cli(sqlite_server.url, sqlite_server.token, sqlite_server.data)
    cli("download", reference, "--offline")
    assert "HTTP_PROXY is broken" in cli("whoami", status=2).stderr


def test_settings_not_passed_come_from_the_environment(sqlite_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is passed has precedence, also if it is empty."""
    monkeypatch.setenv("REGISTRY_TOKEN", f"{sqlite_server.token}\n")
    monkeypatch.setenv("REGISTRY_DEADLINE_S", "7")
    monkeypatch.setenv("REGISTRY_CA_FILE", "/etc/ca.pem")
    monkeypatch.setenv("REGISTRY_REPLICAS", "http://other.example")
    with HttpRegistry(RegistryConfig(url=sqlite_server.url)) as registry:
        assert registry.principals.whoami().name == "admin"
    found = RegistryConfig(url=sqlite_server.url)
    assert (found.deadline_s, found.ca_file, found.replicas) == (7.0, "/etc/ca.pem", ())
    assert RegistryConfig(url=sqlite_server.url, token="", deadline_s=3.0).token == ""
    assert RegistryConfig().replicas == ("http://other.example",)
    assert RegistryConfig.from_environment({}).token == ""
    monkeypatch.setenv("REGISTRY_URL", "http://named.example")
    assert RegistryConfig().url == "http://named.example"
    monkeypatch.setenv("REGISTRY_RESOLVE", "off")
    assert RegistryConfig(token="x").resolve is None
    none: Any = None
    with pytest.raises(InvalidConfiguration, match=r"token is not a string.*REGISTRY_TOKEN"):
        RegistryConfig(token=none)
    with pytest.raises(InvalidConfiguration, match=r"RegistryConfig\(url="):
        HttpRegistry("http://127.0.0.1:8321")  # type: ignore[arg-type]
