"""The Authorization header: only one valid token in one well-formed header authenticates a request."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.security.route_rights import MODEL, Guarded, guarded_world
from tests.security.worlds import logged, problem


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """Start one registry for this file; tests change copies of it."""
    with guarded_world() as found:
        yield found


class TestAuthorization:
    """Only one valid token in one header of the right form authenticates a request."""

    @pytest.fixture
    def secret(self, guarded: Guarded) -> str:
        """Provide a valid token."""
        return guarded.tokens["admin"]

    @staticmethod
    def assert_refused(guarded: Guarded, *authorization: str | bytes, path: str = "/v1/whoami") -> None:
        """Fail unless these headers are refused, are not repeated in the response or log, and change nothing."""
        before = guarded.world.stored_state()
        headers = [("authorization", value) for value in authorization]
        with logged() as log, guarded.world.http() as http:
            for method in ("GET", "POST"):
                answer = http.request(method, path if method == "GET" else "/v1/models", headers=headers, content=b"[")
                refusal = problem(answer)
                assert (answer.status_code, refusal["code"]) == (401, "unauthenticated")
                assert answer.headers["www-authenticate"] == 'Bearer realm="model-registry"'
                for value in authorization:
                    secret = (value if isinstance(value, str) else value.decode("latin-1")).rpartition(" ")[2]
                    assert len(secret) < 8 or secret not in answer.text + str(answer.headers) + "".join(log.lines)
        assert guarded.world.stored_state() == before
        assert log.failures == []

    def test_a_valid_token_is_accepted(self, guarded: Guarded, secret: str) -> None:
        """The name of the scheme is not case-sensitive, as RFC 9110 requires."""
        with guarded.world.http() as http:
            for scheme in ("Bearer", "bearer", "BEARER"):
                assert http.get("/v1/whoami", headers={"authorization": f"{scheme} {secret}"}).status_code == 200

    def test_a_missing_token_is_refused(self, guarded: Guarded) -> None:
        """A request without a token gets 401."""
        self.assert_refused(guarded)

    @pytest.mark.parametrize(
        "shape",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Bearer {secret} ",
            "Bearer  {secret}",
            " {secret}",
            "{secret}",
            "Basic {secret}",
            "Basic YWRtaW46cGFzc3dvcmQ=",
            "Digest username=admin",
            "Token {secret}",
            "Bearer {secret}, Bearer {secret}",
            "Bearer {secret},{secret}",
            "Bearer {secret} {secret}",
            "Bearer {secret}\t",
            "Bearer {secret}\x00",
            "Bearer mrg_",
            "Bearer mrg_" + "a" * 49,
            "Bearer " + "x" * 60_000,
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        ],
    )
    def test_a_header_of_another_shape_is_refused(self, guarded: Guarded, secret: str, shape: str) -> None:
        """Other schemes, other spacing, several tokens and invented tokens get 401."""
        self.assert_refused(guarded, shape.format(secret=secret))

    def test_a_token_is_compared_exactly(self, guarded: Guarded, secret: str) -> None:
        """A token with another case, checksum, length or similar-looking character gets 401."""
        wrong = "a" if secret[-1] != "a" else "b"
        others = [secret.upper(), secret.lower(), secret.swapcase(), secret[:-1], secret + "a", secret[:-1] + wrong]
        others += [secret[:10] + ("x" if secret[10] != "x" else "y") + secret[11:], secret.replace("mrg", "MRG")]
        for other in others:
            self.assert_refused(guarded, f"Bearer {other}")
        self.assert_refused(guarded, b"Bearer " + secret.encode()[:-1] + b"\xff")
        self.assert_refused(guarded, f"Bearer {secret[:-1]}\N{FULLWIDTH DIGIT ONE}".encode())

    def test_several_authorization_headers_are_refused(self, guarded: Guarded, secret: str) -> None:
        """A proxy and the registry could read different headers, so two headers get 401."""
        for pair in ([f"Bearer {secret}", "Bearer x"], ["Bearer x", f"Bearer {secret}"], [f"Bearer {secret}"] * 2):
            self.assert_refused(guarded, *pair)

    def test_a_token_in_the_address_is_ignored(self, guarded: Guarded, secret: str) -> None:
        """A token in the query does not authenticate, and beside a valid header it gets 422 and is not repeated."""
        for path in ("/v1/whoami", "/v1/models", f"/v1/models/{MODEL}", f"/v1/models/{MODEL}/resolve/latest"):
            self.assert_refused(guarded, path=f"{path}?access_token={secret}")
            with guarded.world.http(secret) as http:
                answer = http.get(path, params={"access_token": secret})
            assert (answer.status_code, problem(answer)["value"]) == (422, "access_token")
            assert secret not in answer.text

    def test_other_headers_do_not_authenticate(self, guarded: Guarded, secret: str) -> None:
        """A token in any header except Authorization does not authenticate."""
        for name in ("proxy-authorization", "x-api-key", "x-forwarded-authorization", "cookie", "x-token"):
            with guarded.world.http(**{name: f"Bearer {secret}"}) as http:
                assert http.get("/v1/whoami").status_code == 401

    def test_a_revoked_token_is_refused_at_once(self, guarded: Guarded) -> None:
        """A server that has just accepted a token refuses it after its revocation, and applies removed grants."""
        with guarded.world.copied(), guarded.world.backend.registry() as admin:
            issued = admin.principals.issue_token("strategy")
            grants = admin.principals.get("analysis")
            with guarded.world.http(issued.secret) as theirs, guarded.world.http(guarded.tokens["analysis"]) as others:
                assert theirs.get("/v1/whoami").status_code == 200
                assert others.get(f"/v1/models/{MODEL}").status_code == 200
                admin.principals.revoke_token(issued.token.id)
                admin.principals.update("analysis", [], revision=grants.revision)
                assert theirs.get("/v1/whoami").status_code == 401
                assert others.get(f"/v1/models/{MODEL}").status_code == 404
            self.assert_refused(guarded, f"Bearer {issued.secret}")

    def test_an_expired_token_is_refused(self, guarded: Guarded) -> None:
        """A token is accepted a minute before its expiry and gets 401 from its expiry on."""
        with guarded.world.copied(), guarded.world.backend.registry() as admin:
            issued = admin.principals.issue_token("strategy", valid_days=1)
            guarded.world.advance_clock(timedelta(days=1) - timedelta(minutes=1))
            with guarded.world.http(issued.secret) as http:
                assert http.get("/v1/whoami").status_code == 200
            guarded.world.advance_clock(timedelta(minutes=1))
            self.assert_refused(guarded, f"Bearer {issued.secret}")
