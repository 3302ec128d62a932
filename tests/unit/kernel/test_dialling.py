"""How a number is written where it comes from: one row a case, and an international number stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.dialling import Dialling, Numbers, is_country

AS_DIALLED = Dialling(Numbers.AS_DIALLED, "GB")
E164 = Dialling(Numbers.E164)
E164_US = Dialling(Numbers.E164, "US")
GB = Dialling(Numbers.NATIONAL, "GB")
US = Dialling(Numbers.NATIONAL, "US")
IT = Dialling(Numbers.NATIONAL, "IT")
PBX = Dialling(Numbers.NATIONAL, "FR", international_prefix="900", national_prefix="90")
NOWHERE = Dialling(Numbers.NATIONAL)

MALFORMED = ("", "+", "44 20", "\u0660\u0662\u0660\u0667", "0" * 19, "44;x=1", "++44", "4a")
CASES = [
    # how the peer writes, as received, as rated
    (AS_DIALLED, "02079460000", "02079460000"),
    (AS_DIALLED, "+442079460000", "442079460000"),
    (AS_DIALLED, "00442079460000", "00442079460000"),
    (E164, "442079460000", "442079460000"),
    (E164, "+442079460000", "442079460000"),
    (E164, "00442079460000", "442079460000"),
    (E164, "00", None),
    (E164_US, "011442079460000", "442079460000"),
    (E164_US, "00442079460000", "00442079460000"),
    (GB, "02079460000", "442079460000"),
    (GB, "2079460000", "442079460000"),
    (GB, "+33123456789", "33123456789"),
    (GB, "0033123456789", "33123456789"),
    (GB, "+02079460000", "02079460000"),  # a plus says international, whatever follows
    (GB, "112", "112"),
    (GB, "999", "999"),
    (GB, "1", "1"),
    (GB, "123456789012345678", "123456789012345678"),
    (US, "5551230001", "15551230001"),
    (US, "15551230001", "15551230001"),
    (US, "911", "911"),
    (US, "01133123456789", "33123456789"),
    (IT, "0612345678", "390612345678"),
    (PBX, "90123456789", "33123456789"),
    (PBX, "900442079460000", "442079460000"),
    (PBX, "0123456789", "33123456789"),
    (PBX, "90", "33"),
    (PBX, "901234567890123456", "331234567890123456"),
    (NOWHERE, "02079460000", "02079460000"),
    (NOWHERE, "0033123456789", "33123456789"),
    *((how, bad, None) for how in (E164, GB) for bad in MALFORMED),
]  # fmt: skip


@pytest.mark.parametrize(("how", "received", "rated"), CASES)
def test_a_number_is_read_as_it_is_written(how: Dialling, received: str, rated: str | None) -> None:
    assert how.normal(received) == rated


def test_a_number_that_would_grow_too_long_stays() -> None:
    assert Dialling(Numbers.NATIONAL, "GB", national_prefix="0").normal("0" + "7" * 17) == "0" + "7" * 17


@pytest.mark.parametrize(("code", "known"), [("GB", True), ("US", True), ("ZZ", False), ("gb", False), ("", False)])
def test_a_country_has_a_numbering_plan(code: str, known: bool) -> None:
    assert is_country(code) is known


@given(st.from_regex(r"[0-9]{1,18}", fullmatch=True), st.sampled_from([AS_DIALLED, E164, E164_US, GB, US, IT, PBX]))
def test_an_international_number_stays_and_any_other_becomes_digits(number: str, how: Dialling) -> None:
    assert how.normal(f"+{number}") == number
    read = how.normal(number)
    assert read is None or (read.isascii() and read.isdigit() and len(read) <= 18)
