"""Strict decoding: what is no promise of ours is refused, and a duration is taken at its exact value."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.http_api.messages import (
    AuthorizeRequest,
    EndRequest,
    TopUpRequest,
    checked,
    decoded,
    duration_us,
    instant,
    no_name_twice,
)
from daemon.http_api.refusal import RequestRefused
from daemon.kernel.instant import SECOND
from tests.unit.http_api.http_world import question

_authorize = msgspec.json.Decoder(AuthorizeRequest)
_end = msgspec.json.Decoder(EndRequest)
_top_up = msgspec.json.Decoder(TopUpRequest)


def _refused(decoder: msgspec.json.Decoder[Any], body: bytes) -> str:
    with pytest.raises(RequestRefused) as refused:
        decoded(decoder, body)
    assert refused.value.status == 400
    return refused.value.body.decode()


def test_the_promised_body_is_taken() -> None:
    request = decoded(_authorize, msgspec.json.encode(question("c1", updates=True)))
    assert (request.call_id, request.calling, request.called, request.updates) == (
        "c1", "15551230001", "442071231234", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"call_id": None}, {"call_id": ""}, {"call_id": "x" * 254}, {"call_id": 7}, {"to": None}, {"from": None},
        {"direction": None}, {"direction": "sideways"}, {"updates": "yes"}, {"updates": 1}, {"unknown": 1},
        {"calling": "1"}, {"account": "a" * 130}, {"password": 5}, {"ip": "1" * 46},
    ],
)  # fmt: skip
def test_another_body_is_refused(changes: dict[str, Any]) -> None:
    body = {name: value for name, value in {**question("c1"), **changes}.items() if value is not None}
    assert "malformed" in _refused(_authorize, msgspec.json.encode(body))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"{}x", b"\xff\xfe", b'{"call_id": "\xff"}', b"[" * 60_000, b'"\\ud800"']
)
def test_garbage_is_refused(body: bytes) -> None:
    _refused(_authorize, body)


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\u2028", "é" * 127, "a\x7f"])
def test_texts_are_bounded_in_octets_and_hold_no_controls(text: str) -> None:
    with pytest.raises(RequestRefused):
        checked(text, "call_id")
    assert checked("3c26-7f@192.0.2.1;ü", "call_id")


@pytest.mark.parametrize("text", ["", "2026-01-01", "2026-01-01T00:00:00", "now", "1790000000"])
def test_a_time_needs_its_offset(text: str) -> None:
    with pytest.raises(RequestRefused):
        instant(text)


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        (b"0", 0), (b"61", 61 * SECOND), (b"61.3", 61_300_000), (b'"61.3"', 61_300_000), (b"6.13e1", 61_300_000),
        (b"0.1", 100_000), (b"0.0000019", 1), (b"61.300000000000004", 61_300_000), (b"1000000", 10**12),
        (b"0.9999999999999999999999999999", 999_999), (b"null", None),
    ],
)  # fmt: skip
def test_a_duration_is_exact_to_the_microsecond(written: bytes, microseconds: int | None) -> None:
    request = decoded(_end, b'{"at": "2026-01-01T00:00:00Z", "duration_seconds": %s}' % written)
    assert duration_us(request.duration_seconds) == microseconds


@pytest.mark.parametrize(
    "text", ["-1", "-0.0", "NaN", "Infinity", "-Infinity", "sNaN", "1000000.1", "1e99999", "1e-99999", "1" * 29]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused):
        duration_us(Decimal(text))


def test_a_duration_is_a_number_or_a_decimal_text() -> None:
    for written in (b"true", b"[]", b'"x"', b'"1,5"', b'""'):
        _refused(_end, b'{"at": "2026-01-01T00:00:00Z", "duration_seconds": %s}' % written)


@given(st.integers(0, 10**12))
def test_every_microsecond_survives_the_wire(microseconds: int) -> None:
    seconds, fraction = divmod(microseconds, SECOND)
    for quote in ("", '"'):
        body = f'{{"at": "2026-01-01T00:00:00Z", "duration_seconds": {quote}{seconds}.{fraction:06d}{quote}}}'
        assert duration_us(decoded(_end, body.encode()).duration_seconds) == microseconds


@given(st.binary(max_size=200))
def test_no_octets_break_the_decoder(body: bytes) -> None:
    """Whatever comes is taken or refused; nothing else is raised."""
    with contextlib.suppress(RequestRefused):
        assert isinstance(decoded(_authorize, body), AuthorizeRequest)
    with contextlib.suppress(RequestRefused):
        assert isinstance(decoded(_end, body), EndRequest)
    with contextlib.suppress(RequestRefused):
        assert isinstance(decoded(_top_up, body), TopUpRequest)


_TEXTS = st.text(st.sampled_from('ab"\\:, \n\u00e9'), max_size=6)


@given(st.dictionaries(_TEXTS, _TEXTS | st.integers(), max_size=6), st.booleans())
def test_names_that_differ_are_taken_whatever_stands_in_texts(value: dict[str, str | int], ascii_only: bool) -> None:
    no_name_twice(json.dumps(value, ensure_ascii=ascii_only).encode())


@given(st.dictionaries(_TEXTS, _TEXTS | st.integers(), min_size=1, max_size=6), st.data())
def test_a_name_that_comes_twice_is_refused_however_it_is_written(
    value: dict[str, str | int], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    for again in (json.dumps(name), json.dumps(name, ensure_ascii=False), f'"{escaped}"'):
        with pytest.raises(RequestRefused):
            no_name_twice(f"{json.dumps(value)[:-1]}, {again} : 1}}".encode())
