"""Prefix cells: lists, ranges and country codes; a range means exactly its numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ingest.prefixes import PREFIXES_MAX, country_code, cover, prefixes_of

CASES: list[tuple[str, str, tuple[str, ...], str]] = [
    ("44", "", (), "44"),
    ("+44", "", ("+",), "44"),
    ("+ 44 20", "", ("+",), "4420"),
    ("0044", "", ("+", "00"), "44"),
    ("01144", "", ("011", "00"), "44"),
    ("4420;4421", "", (), "4420 4421"),
    ("4420, 4421 ,4422", "", (), "4420 4421 4422"),
    ("4420|4421", "", (), "4420 4421"),
    ("61 38,39", "", (), "6138 6139"),
    ("61 38,61 39", "", (), "6138 6139"),
    ("+61 38;39", "", ("+",), "6138 6139"),
    ("7 70,71,77", "", (), "770 771 777"),
    ("61 400-419", "", (), "6140 6141"),
    ("4420-4429", "", (), "442"),
    ("4420 - 4429", "", (), "442"),
    ("4420–4429", "", (), "442"),  # noqa: RUF001 - the dash that word processors put in
    ("4420..4421", "", (), "4420 4421"),
    ("4478-4480", "", (), "4478 4479 4480"),
    ("004420-004429", "", ("00",), "442"),
    ("+4420 - +4421", "", ("+",), "4420 4421"),
    ("1-9", "", (), "1 2 3 4 5 6 7 8 9"),
    ("20", "44", (), "4420"),
    ("020-029", "39", (), "3902"),
    ("", "44", (), "44"),
    ("20,21", "+44", ("+",), "4420 4421"),
    ("7", "0044", ("00",), "447"),
    ("00,01", "39", ("00",), "3900 3901"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "country", "dialled", "prefixes"), CASES)
def test_what_a_cell_means(text: str, country: str, dialled: tuple[str, ...], prefixes: str) -> None:
    code = country_code(country, dialled) if country else ""
    assert prefixes_of(text, dialled, code) == tuple(prefixes.split())


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), *[st.integers(0, 10**n - 1)] * 2)))
def test_a_range_covers_its_numbers_and_no_other(drawn: tuple[int, int, int]) -> None:
    length, *ends = drawn
    low, high = sorted(ends)
    prefixes = list(cover(str(low).zfill(length), str(high).zfill(length)))
    covered = [
        number
        for prefix in prefixes
        for number in range(int(prefix.ljust(length, "0")), int(prefix.ljust(length, "9")) + 1)
    ]
    assert covered == list(range(low, high + 1))  # each once, in order
    for size in range(1, length):  # the fewest: ten brothers are never there together
        fathers = [prefix[:size] for prefix in prefixes if len(prefix) == size + 1]
        assert all(fathers.count(father) < 10 for father in set(fathers))


@given(st.integers(1, 10**18 - 1), st.integers(1, 10**18 - 1))
def test_the_widest_range_is_few_prefixes(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert len(list(cover(str(low).zfill(18), str(high).zfill(18)))) <= 18 * 18


@given(st.lists(st.from_regex(r"[1-9][0-9]{0,17}", fullmatch=True), min_size=1, max_size=20, unique=True))
def test_a_list_is_its_items_in_order(items: list[str]) -> None:
    assert prefixes_of(";".join(items)) == tuple(items)


def test_a_row_of_too_many_prefixes() -> None:
    ranges = ",".join(f"{start}1-{start + 9}8" for start in range(1_000, 8_000, 10))
    with pytest.raises(ValueError, match=f"means more than {PREFIXES_MAX} prefixes"):
        prefixes_of(ranges)


def test_a_range_of_more_digits_than_a_number_has() -> None:
    with pytest.raises(ValueError, match="has more than 18 digits"):
        prefixes_of(f"{10**18}-{10**18 + 9}")
