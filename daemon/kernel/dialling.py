"""How a number is written where it comes from, and what it is as an international number (E.164) without a plus.

A plus always says international. So does the international prefix; what follows the national prefix, or stands alone
where numbers are national, is a number of the country. What is no possible number of it, such as a short code, stays as
it was dialled. Pure: the numbering plans are those of phonenumberslite, read from its own modules.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata, ValidationResult

from daemon.kernel.e164 import digits

INTERNATIONAL: Final = "00"  # the prefix where neither a country nor a prefix is stated: ITU-T E.123 recommends it
KEPT_MAX: Final = 4_096  # numbers whose reading is kept, about 200 octets each; a caller who redials is read once


class Numbers(Enum):
    """What a number without a plus is."""

    AS_DIALLED = "as-dialled"
    E164 = "e164"
    NATIONAL = "national"


@dataclass(frozen=True, slots=True)
class Dialling:
    """How one endpoint or peer writes numbers. ``country`` is ISO 3166, empty where it is not needed.

    Empty prefixes are those of the country; where none is stated the international one is ``INTERNATIONAL``.
    """

    numbers: Numbers
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""

    def normal(self, number: str) -> str | None:
        """Return the digits of a number as they are rated, or None where it is malformed."""
        written = digits(number)
        if written is None or number.startswith("+") or self.numbers is Numbers.AS_DIALLED:
            return written
        abroad = _without_international(written, self)
        if abroad is not None:
            return abroad or None
        return written if self.numbers is Numbers.E164 else _of_country(written, self)


def is_country(code: str) -> bool:
    """Tell whether the numbering plan of a country is known."""
    return PhoneMetadata.metadata_for_region(code) is not None


def _without_international(written: str, dialling: Dialling) -> str | None:
    if dialling.international_prefix or not dialling.country:
        prefix = dialling.international_prefix or INTERNATIONAL
        return written.removeprefix(prefix) if written.startswith(prefix) else None
    plan = PhoneMetadata.metadata_for_region(dialling.country)
    assert plan is not None, dialling
    match = re.match(plan.international_prefix or INTERNATIONAL, written)
    return written[match.end() :] if match is not None else None


@lru_cache(maxsize=KEPT_MAX)
def _of_country(written: str, dialling: Dialling) -> str:
    if not dialling.country:
        return written
    national = dialling.national_prefix
    if national and written.startswith(national):
        code = phonenumbers.country_code_for_region(dialling.country)
        return digits(f"{code}{written.removeprefix(national)}") or written
    try:
        read = phonenumbers.parse(written, dialling.country)
    except phonenumbers.NumberParseException:
        return written  # one or two digits
    if phonenumbers.is_possible_number_with_reason(read) is not ValidationResult.IS_POSSIBLE:
        return written
    return phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
