"""Tokens: who is nobody (401), who is somebody else (403)."""

import hashlib

import pytest

from daemon.charging.configuration import TokenSpec
from daemon.http_api.access import TOKEN_LENGTH_MAX, authenticate, permit
from daemon.http_api.refusal import RequestRefused
from tests.unit.http_api.http_world import token

KNOWN = {spec.sha256: spec for spec in (token("good", "main", "switch"), token("gone", "main", "read", revoked=True))}


def _asked(*values: bytes) -> TokenSpec:
    return authenticate(lambda: KNOWN, [(b"host", b"x"), *((b"authorization", value) for value in values)])


def test_a_bearer_token_in_force_is_known() -> None:
    assert _asked(b"Bearer good").id == "good"
    assert _asked(b"bearer  good ").id == "good", "the scheme's case and blanks around the token do not matter"


@pytest.mark.parametrize(
    "values",
    [
        (), (b"",), (b"Bearer",), (b"Bearer ",), (b"Basic good",), (b"good",), (b"Bearer bad",), (b"Bearer gone",),
        (b"Bearer good", b"Bearer good"), (b"Bearer " + b"x" * (TOKEN_LENGTH_MAX + 1),),
        (b"Bearer " + hashlib.sha256(b"good").hexdigest().encode(),), (b"Bearer \xff\xfe",),
    ],
)  # fmt: skip
def test_anything_else_is_nobody(values: tuple[bytes, ...]) -> None:
    with pytest.raises(RequestRefused) as refused:
        _asked(*values)
    assert refused.value.status == 401
    assert dict(refused.value.headers)[b"www-authenticate"].startswith(b"Bearer")


def test_a_hash_under_another_key_is_nobody() -> None:
    misplaced = {hashlib.sha256(b"other").hexdigest(): token("good", "main", "switch")}
    with pytest.raises(RequestRefused):
        authenticate(lambda: misplaced, [(b"authorization", b"Bearer other")])


def test_a_role_permits_what_it_is_for() -> None:
    spec = token("good", "main", "switch")
    assert permit(spec, "read", "switch") is spec
    with pytest.raises(RequestRefused) as refused:
        permit(spec, "billing", "read")
    assert refused.value.status == 403
    assert b"billing or read" in refused.value.body
