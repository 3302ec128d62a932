"""A prefix cell of somebody else's deck becomes prefixes: one, a list, ranges, or a country code before a list.

A range is covered exactly by the fewest prefixes: 4420-4429 is 442, and no number more or less. What a spreadsheet
has mangled, what abbreviates, and what could be read in two ways is an error that says how to write it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from daemon.kernel.e164 import DIGITS_MAX

PREFIXES_MAX: Final = 10_000  # prefixes of one row; ours: the widest allocation of a country is a tenth of it

_DIGITS = re.compile(rf"[0-9]{{1,{DIGITS_MAX}}}")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_DASH = re.compile(r"\s*(?:-|–|\.\.)\s*")  # noqa: RUF001 - the dash that word processors put in
_POWER = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_DECIMALS = re.compile(r"[0-9]+[.][0-9]+")


def prefixes_of(text: str, dialled: Sequence[str] = (), country: str = "") -> tuple[str, ...]:
    """Return the prefixes that a cell means, in its order.

    ``dialled`` are the signs that callers dial before a country code and this deck writes, such as ``+`` or ``00``;
    ``country`` is a country code of its own, see ``country_code``. Raises ValueError with the mend.
    """
    if not text and country:
        return (country,)
    signs = () if country else dialled  # behind a country code nothing is dialled before one
    if text.isdigit() and text.isascii():  # the usual cell
        return (_checked(country + _without(text, signs), whole=country == ""),)
    if _POWER.fullmatch(text) or not text:
        raise ValueError(_fault(text))
    found = tuple(_expanded(text, signs, country))
    if len(set(found)) != len(found):
        raise ValueError(f"{_cut(text)} names a prefix twice; take one away")
    return found


def country_code(text: str, dialled: Sequence[str]) -> str:
    """Return the country code that a cell of its own means. Raises ValueError with the mend."""
    if not text:
        raise ValueError("is empty; every row needs a country code")
    return _checked(_without(text, dialled), whole=True)


def cover(first: str, last: str) -> Iterator[str]:
    """Yield the fewest prefixes that cover the numbers beginning with ``first`` to ``last``, of one length."""
    length, low, high = len(first), int(first), int(last)
    while low <= high:
        places = 0
        while places < length - 1 and low % 10 ** (places + 1) == 0 and low + 10 ** (places + 1) - 1 <= high:
            places += 1
        yield str(low // 10**places).zfill(length - places)
        low += 10**places


def _expanded(text: str, dialled: Sequence[str], country: str) -> Iterator[str]:
    count = 0
    for code, item in _items(text, dialled):
        for prefix in _of_item(item):
            count += 1
            if count > PREFIXES_MAX:
                raise ValueError(f"{_cut(text)} means more than {PREFIXES_MAX} prefixes; split the row")
            yield _checked(country + code + prefix, whole=country == "")


def _items(text: str, dialled: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each item of a list with the country code before it, which the first item may state for all."""
    parts = ["-".join(_without(end, dialled) for end in _DASH.split(part.strip())) for part in re.split("[;,|]", text)]
    first, blank, _ = parts[0].partition(" ")
    shared = first if blank and _RANGE.fullmatch(parts[0]) is None else ""
    for place, part in enumerate(parts):
        if not part:
            raise ValueError(f"{_cut(text)} has an empty place in its list; take the separator away")
        code, item = _split(part)
        if place and shared and not code:
            _refuse_doubt(text, shared, item, parts[0].partition(" ")[2])
            code = shared
        elif place and code and not shared:
            raise ValueError(f"{_cut(text)} mixes numbers with and without a country code; write each whole")
        yield code, item


def _split(part: str) -> tuple[str, str]:
    if _RANGE.fullmatch(part):
        return "", part
    code, _, item = part.rpartition(" ") if _RANGE.search(part) is None else part.partition(" ")
    return code.replace(" ", ""), item.strip()


def _refuse_doubt(text: str, shared: str, item: str, first: str) -> None:
    if item.startswith(shared) and len(item) > len(first.strip()):
        raise ValueError(f"{_cut(text)} may repeat the country code {_cut(shared)} or not; write each prefix whole")


def _of_item(item: str) -> Iterator[str]:
    ends = _RANGE.fullmatch(item)
    if ends is None:
        yield item
        return
    first, last = ends.groups()
    if max(len(first), len(last)) > DIGITS_MAX:
        raise ValueError(f"{_cut(item)} has more than {DIGITS_MAX} digits")
    if len(first) != len(last):
        raise ValueError(f"{_cut(item)} has ends of different length; write both whole, such as 4478-4479")
    if last < first:
        raise ValueError(f"{_cut(item)} ends before it begins; swap its ends")
    yield from cover(first, last)


def _checked(prefix: str, *, whole: bool) -> str:
    if _DIGITS.fullmatch(prefix) is None:
        raise ValueError(_fault(prefix))
    if whole and prefix[0] == "0":
        raise ValueError(f"{prefix!r} begins with 0; say in a template which signs before a country code come off")
    return prefix


def _fault(prefix: str) -> str:
    if _POWER.fullmatch(prefix):
        return f"{_cut(prefix)} is what a spreadsheet made of a long number; format the column as text, export again"
    if _DECIMALS.fullmatch(prefix):
        return f"{_cut(prefix)} is a number with decimals; format the column as text, export again"
    if not prefix:
        return "is empty; every row needs a prefix"
    return f"{_cut(prefix)} is not 1 to {DIGITS_MAX} digits, nor a list or a range of such"


def _without(text: str, dialled: Sequence[str]) -> str:
    for sign in dialled:
        if text.startswith(sign):
            return text[len(sign) :].lstrip()
    return text


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
