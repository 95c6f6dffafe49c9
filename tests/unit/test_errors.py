"""Errors of the client."""

import pickle

import pytest

from common_lib import RegistryConfig
from common_lib.errors import (
    Attempt,
    ConnectionFailed,
    DigestMismatch,
    InvalidConfiguration,
    InvalidRequest,
    ModelNotFound,
    RegistryError,
)
from common_lib.operations import principals

ERRORS = [
    InvalidConfiguration("wrong"),
    ModelNotFound("gone", code="model_not_found", remedy="look", field="name", value="x", status=404, request_id="r"),
    ConnectionFailed("down", tried=[Attempt(0.0, 0.5, "cut")], retry_after_s=2.0),
    DigestMismatch("model.bin", expected="a", actual="b"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_from_another_process_as_it_left(error: RegistryError) -> None:
    """A training job in a pool of processes learns what its worker did."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "url", ["", "registry", "ftp://x", "http://", "http://[::1", "http://x:y", "http://x:99999", "http://u:p@x"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """Before the first request, and as one of our errors."""
    with pytest.raises(InvalidConfiguration):
        RegistryConfig(url=url)


@pytest.mark.parametrize("token", ["mrg_a\nb", "mrg_\u00e9", "mrg a"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str) -> None:
    """A library that choked on it would print it."""
    with pytest.raises(InvalidConfiguration) as refused:
        RegistryConfig(token=token)
    assert token.strip() not in str(refused.value)


def test_a_secret_in_the_place_of_an_id_is_not_sent() -> None:
    """It would stand in the address, and so in the log."""
    with pytest.raises(InvalidRequest) as refused:
        principals.revoke_token("mrg_abcdefgh")
    assert "abcdefgh" not in str(refused.value)
