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
def test_an_error_survives_pickling(error: RegistryError) -> None:
    """A training job gets the error of a worker process unchanged."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "url", ["", "registry", "ftp://x", "http://", "http://[::1", "http://x:y", "http://x:99999", "http://u:p@x"]
)
def test_an_invalid_address_is_refused_before_any_request(url: str) -> None:
    """The error is one of ours."""
    with pytest.raises(InvalidConfiguration):
        RegistryConfig(url=url)


@pytest.mark.parametrize("token", ["mrg_a\nb", "mrg_\u00e9", "mrg a"])
def test_a_malformed_token_is_refused_and_not_printed(token: str) -> None:
    """A library that fails on the token would print it."""
    with pytest.raises(InvalidConfiguration) as refused:
        RegistryConfig(token=token)
    assert token.strip() not in str(refused.value)


def test_a_secret_in_the_place_of_an_id_is_not_sent() -> None:
    """It would be part of the address, and so of the log."""
    with pytest.raises(InvalidRequest) as refused:
        principals.revoke_token("mrg_abcdefgh")
    assert "abcdefgh" not in str(refused.value)
