"""How well a carrier completes calls to a group of numbers: ASR, ACD, and the grades by which routes are ordered.

ASR is answered attempts to all attempts, ACD the seconds of an answered call; both over the last ``WINDOW_HOURS``. A
group is the first ``GROUP_DIGITS`` digits of the called number. Grades are made now and then, never in a decision.
A grade is kept until the figure has left its range by a margin, so that the order of routes does not flap; below
``SAMPLE_MIN`` attempts there is none, and the carrier has the benefit of the doubt. Pure; no figure here is money.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from daemon.kernel.instant import SECOND, Instant

HOUR: Final = 3_600 * SECOND  # microseconds
GROUP_DIGITS: Final = 3  # a country code has at most so many (E.164): 1,000 groups of one carrier at most
WINDOW_HOURS: Final = 24  # one day: what is busy at night and idle by day is seen whole
SAMPLE_MIN: Final = 50  # attempts in the window; of fewer, ten more or less answers would be another grade
ASR_STEP, ASR_MARGIN = 100, 25  # per mille of attempts: ten points a grade, left by two and a half more
ASR_GRADE_MAX: Final = 1_000 // ASR_STEP
ACD_SHORT: Final = 15  # seconds; a shorter average is of grade 0, and each grade above is twice as long
ACD_GRADE_MAX: Final = 8  # from half an hour on: longer averages are as good
ACD_MARGIN: Final = 8  # an eighth of the border beyond which an ACD has to be, to leave its grade


class Tally(NamedTuple):
    """What is to be added for a carrier (the store's number of it), a group and an hour; seconds are of answered calls.

    What a later report corrects is taken back, so that numbers may be negative.
    """

    carrier: int
    group: str
    hour: int
    attempts: int = 0
    answered: int = 0
    seconds: int = 0


def added(tally: Tally, more: Tally) -> Tally:
    """Return what two tallies of one carrier, group and hour are together."""
    return Tally(
        *tally[:3], tally.attempts + more.attempts, tally.answered + more.answered, tally.seconds + more.seconds
    )


class Quality(NamedTuple):
    """What a carrier did for a group within the window, and the grades made of it; the higher the better."""

    attempts: int
    answered: int
    seconds: int
    asr_grade: int
    acd_grade: int

    @property
    def asr(self) -> int:
        """Answered attempts, per mille of all."""
        return asr_of(self.attempts, self.answered)

    @property
    def acd(self) -> int:
        """Seconds of an average answered call, cut."""
        return acd_of(self.answered, self.seconds)


Qualities = Mapping[tuple[int, str], Quality]  # by a carrier's number and the group


def group_of(number: str) -> str:
    """Return the group of the digits of a number."""
    return number[:GROUP_DIGITS]


def hour_of(at: Instant) -> int:
    """Return the number of the hour since 1970 that an instant is in."""
    return at // HOUR


def asr_of(attempts: int, answered: int) -> int:
    """Return answered attempts per mille of all, 0 where there was none."""
    return min(1_000, answered * 1_000 // attempts) if attempts > 0 else 0


def acd_of(answered: int, seconds: int) -> int:
    """Return the seconds of an average answered call, cut; 0 where none was answered."""
    return seconds // answered if answered > 0 else 0


def graded(attempts: int, answered: int, seconds: int, before: Quality | None) -> Quality | None:
    """Return the quality of what was counted in a window, None where it is too little to tell.

    ``before`` is what was told the last time: its grades stay while the figures are near their ranges.
    """
    if attempts < SAMPLE_MIN:
        return None
    answered, seconds = max(0, answered), max(0, seconds)
    asr, acd = asr_of(attempts, answered), acd_of(answered, seconds)
    asr_grade, acd_grade = asr // ASR_STEP, _acd_grade(acd)
    if before is not None and _asr_is_near(asr, before.asr_grade):
        asr_grade = before.asr_grade
    if before is not None and _acd_is_near(acd, before.acd_grade):
        acd_grade = before.acd_grade
    return Quality(attempts, answered, seconds, asr_grade, acd_grade)


def _asr_is_near(asr: int, grade: int) -> bool:
    return grade * ASR_STEP - ASR_MARGIN <= asr < (grade + 1) * ASR_STEP + ASR_MARGIN


def _acd_grade(acd: int) -> int:
    return min(ACD_GRADE_MAX, (acd // ACD_SHORT).bit_length())


def _acd_is_near(acd: int, grade: int) -> bool:
    lower, upper = ACD_SHORT << grade >> 1, ACD_SHORT << grade
    reaches = grade == 0 or acd * ACD_MARGIN >= lower * (ACD_MARGIN - 1)
    return reaches and (grade == ACD_GRADE_MAX or acd * ACD_MARGIN < upper * (ACD_MARGIN + 1))
