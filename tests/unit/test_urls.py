"""Addresses in a configuration: which are accepted, and how they are normalized."""

from collections.abc import Callable
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.errors import InvalidConfiguration

ADDRESSES: list[tuple[Any, str]] = [
    ("http://256.1.1.1", "not an IPv4 address"),
    ("http://1.2.3", "not an IPv4 address"),
    ("http://0x7f.1", "not an IPv4 address"),
    ("http://2130706433", "not an IPv4 address"),
    ("http://a..b", "not a valid host name"),
    ("http://-a", "not a valid host name"),
    ("http://" + "a" * 64, "not a valid host name"),
    ("http://" + "a." * 130, "not a valid host name"),
    ("http://h?x=1", "a query or a fragment"),
    ("http://h/?x=1", "a query or a fragment"),
    ("http://h#x", "a query or a fragment"),
    ("http://u:s3cr3t@h", "a name or a password"),
    ("http://s3cr3t@h", "a name or a password"),
    ("http://u:s3cr3t/x@h", "%2F"),
    ("http://u:80/s3cr3t@h", "%2F"),
    ("http://u/s3cr3t@h", "%2F"),
    ("http://u:s3cr3t/x@h/y@z", "%2F"),
    ("http://bücher.example", "xn--"),
    ("http://h:0", "port '0'"),
    ("http://h:99999", "port '99999'"),
    ("http://h:", "port ''"),
    ("http://h:8x", "port '8x'"),
    ("http://h:٣", "xn--"),
    ("http://h:1:2", "several colons"),
    ("http://::1", "several colons"),
    ("http://[::1", "brackets"),
    ("http://[::1]x", "brackets"),
    ("http://[::g]", "not an IPv6 address"),
    ("http://[fe80::1%eth0]:1", "zone"),
    ("http://h h", "a space"),
    ("http://h\nx", "a space"),
    ("http://h\\x", "a space"),
    ("http://h/a//b", "its path"),
    ("http://h/../b", "its path"),
    ("http://h/%zz", "its path"),
    ("http://", "not a valid host name"),
    ("//h", "no scheme"),
    ("h:8321", "no scheme"),
    ("", "is empty"),
    ("ftp://h", "its scheme"),
    ("file:///etc/passwd", "its scheme"),
    (None, "must be a string"),
    (b"http://h", "must be a string"),
]


@pytest.mark.parametrize(("url", "why"), ADDRESSES)
def test_an_invalid_address_is_refused(url: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the parameter and contains no password."""
    makers: list[Callable[[], object]] = [
        lambda: RegistryConfig(url=url),
        lambda: RegistryConfig(url="http://fine", replicas=(url,)),
    ]
    if isinstance(url, str) and url:
        monkeypatch.setenv("REGISTRY_URL", url)
        makers += [RegistryConfig, RegistryConfig.from_environment]
    for make in makers:
        with pytest.raises(InvalidConfiguration, match="REGISTRY_") as refused:
            make()
        assert why in str(refused.value)
        assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        (" http://h:8321\n", "http://h:8321"),
        ("\thttps://h\r\n", "https://h"),
        ("HTTP://Host/", "http://host"),
        ("http://h/base/", "http://h/base"),
        ("http://[0:0::1]:1", "http://[::1]:1"),
        ("http://my_host.example.", "http://my_host.example."),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://h/a%20b/~c", "http://h/a%20b/~c"),
    ],
)
def test_addresses_are_normalized(written: str, normalized: str) -> None:
    """White space around it, capitals in the host and a slash at the end are removed."""
    assert RegistryConfig(url=written).url == normalized
    assert RegistryConfig.from_environment({"REGISTRY_URL": written}).url == normalized
    assert RegistryConfig(replicas=(written,)).replicas == (normalized,)
