"""The keys of warnings before a call ends: when calls of an account are warned, who hears it, what a switch plays."""

from typing import Final

from daemon.authorize.warning_terms import Hears
from daemon.charging.configuration import CUTOFF_TONE, LOW_BALANCE_TONE
from daemon.config_files.kinds import MONEY_FROM_ZERO, ConfigKey, Scalar, choice, matching, whole

WARNING_SECONDS_MAX: Final = 3_600  # seconds; nobody is warned an hour before


def _seconds() -> Scalar:
    return whole(0, WARNING_SECONDS_MAX, "seconds")


def _tone(text: str) -> Scalar:
    return matching(
        "text of up to 256 characters without blanks, which a switch can play",
        r"[!-~]{1,256}",
        f'is nothing that a switch can play; write a file or a tone without blanks, such as "{text}"',
        optional=True,
    )


TENANT_WARNINGS: Final = (
    ConfigKey("low_balance_warning_seconds", _seconds(), 0, "as of an account, for its accounts that state none"),
    ConfigKey("cutoff_warning_seconds", _seconds(), 0, "as of an account, for its accounts that state none"),
    ConfigKey("warn", choice(Hears), Hears.CALLER, "who hears warnings, for its accounts that state nobody"),
)
ACCOUNT_WARNINGS: Final = (
    ConfigKey(
        "low_balance_warning_seconds",
        _seconds(),
        None,
        "so long before its money ends a call is warned; 0: it is not",
        "its tenant's",
    ),
    ConfigKey(
        "low_balance_warning",
        MONEY_FROM_ZERO,
        0,
        "with less left of its money a call is warned",
        "no warning",
    ),
    ConfigKey(
        "cutoff_warning_seconds",
        _seconds(),
        None,
        "so long before its limit ends a call it is warned, whatever the limit is; 0: it is not",
        "its tenant's",
    ),
    ConfigKey("warn", choice(Hears), None, "who hears warnings", "its tenant's"),
)
WARNING_TONES: Final = (
    ConfigKey(
        "low_balance_tone",
        _tone(LOW_BALANCE_TONE),
        LOW_BALANCE_TONE,
        "what is played when the money is low, a file or a tone; empty: nothing",
    ),
    ConfigKey("cutoff_tone", _tone(CUTOFF_TONE), CUTOFF_TONE, "what is played before a call is ended; empty: nothing"),
)
