"""A voucher's code: as long as it has to be, typed in any way, and wrong where one character is."""

import pytest

from daemon.ledger.voucher_code import ALPHABET, BASE, BODY_LENGTH, NUMBERS, code_of, printed, typed


def test_a_code_has_twenty_characters_none_of_which_looks_like_another() -> None:
    assert len(code_of(0)) == len(code_of(NUMBERS - 1)) == BODY_LENGTH + 1
    assert not set("01ILO") & set(ALPHABET)
    assert len(set(ALPHABET)) == BASE == 31
    assert NUMBERS > 1 << 94


def test_a_number_beyond_the_codes_has_none() -> None:
    for number in (-1, NUMBERS):
        with pytest.raises(AssertionError):
            code_of(number)


def test_it_is_read_as_people_type_it() -> None:
    code = code_of(123_456_789_012_345)
    assert printed(code).count("-") == 3
    for text in (code, printed(code), printed(code).lower(), f" {code[:7]} {code[7:]} "):
        assert typed(text) == code


@pytest.mark.parametrize("text", ["", "2" * 19, "2" * 21, "2" * 19 + "0", "2" * 19 + "é", "2" + "-" * 64, "3" * 20])
def test_what_cannot_be_a_code_is_none(text: str) -> None:
    assert typed(text) is None
