"""The check of a voucher's code finds every single wrong character and every two that changed places."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.ledger.voucher_code import ALPHABET, BODY_LENGTH, NUMBERS, code_of, printed, typed

codes = st.integers(0, NUMBERS - 1).map(code_of)
places = st.integers(0, BODY_LENGTH)


@given(st.integers(0, NUMBERS - 1), st.integers(0, NUMBERS - 1))
def test_two_numbers_have_two_codes_and_each_is_read_again(first: int, second: int) -> None:
    assert (code_of(first) == code_of(second)) == (first == second)
    assert typed(printed(code_of(first)).lower()) == code_of(first)


@given(codes, places, st.sampled_from(ALPHABET))
def test_a_wrong_character_is_found(code: str, place: int, character: str) -> None:
    wrong = code[:place] + character + code[place + 1 :]
    assert typed(wrong) == (code if wrong == code else None)


@given(codes, places, places)
def test_two_characters_in_each_others_place_are_found(code: str, one: int, other: int) -> None:
    characters = list(code)
    characters[one], characters[other] = characters[other], characters[one]
    wrong = "".join(characters)
    assert typed(wrong) == (code if wrong == code else None)
