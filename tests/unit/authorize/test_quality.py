"""Grades of carriers: steps of ASR, doublings of ACD, kept while a figure is near, none below the sample."""

import pytest

from daemon.authorize.quality import (
    ACD_GRADE_MAX,
    ASR_GRADE_MAX,
    HOUR,
    SAMPLE_MIN,
    Quality,
    Tally,
    acd_of,
    added,
    asr_of,
    graded,
    group_of,
    hour_of,
)


def test_a_group_is_the_first_three_digits_and_an_hour_is_one_of_the_epoch() -> None:
    assert (group_of("442071231234"), group_of("44"), group_of("")) == ("442", "44", "")
    assert (hour_of(HOUR - 1), hour_of(HOUR)) == (0, 1)


def test_figures_of_nothing_are_nothing() -> None:
    assert (asr_of(0, 0), asr_of(-1, 5), acd_of(0, 9), acd_of(-1, 9)) == (0, 0, 0, 0)
    assert (asr_of(3, 2), asr_of(2, 3), acd_of(2, 3)) == (666, 1_000, 1)


def test_two_tallies_of_one_place_are_their_sum() -> None:
    assert added(Tally(1, "442", 3, 1, 1, 60), Tally(1, "442", 3, 1, -1, -60)) == Tally(1, "442", 3, 2, 0, 0)


def test_below_the_sample_nothing_can_be_told() -> None:
    assert graded(SAMPLE_MIN - 1, SAMPLE_MIN - 1, 1_000, None) is None
    assert graded(SAMPLE_MIN, 0, 0, None) == Quality(SAMPLE_MIN, 0, 0, 0, 0)


def test_what_corrections_took_below_nothing_is_nothing() -> None:
    assert graded(SAMPLE_MIN, -1, -60, None) == Quality(SAMPLE_MIN, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("acd", "grade"),
    [(0, 0), (14, 0), (15, 1), (29, 1), (30, 2), (59, 2), (60, 3), (1_919, 7), (1_920, 8), (1_000_000, ACD_GRADE_MAX)],
)
def test_an_acd_twice_as_long_is_one_grade_better(acd: int, grade: int) -> None:
    quality = graded(100, 100, 100 * acd, None)
    assert quality is not None
    assert (quality.asr_grade, quality.acd_grade, quality.acd, quality.asr) == (ASR_GRADE_MAX, grade, acd, 1_000)


@pytest.mark.parametrize(
    ("answered", "kept", "grade"),
    [(475, 5, 5), (474, 5, 4), (624, 5, 5), (625, 5, 6), (500, 9, 5), (0, 0, 0), (1_000, 10, 10), (124, 0, 0)],
)
def test_an_asr_grade_is_left_by_a_margin(answered: int, kept: int, grade: int) -> None:
    quality = graded(1_000, answered, 0, Quality(1_000, 0, 0, kept, 0))
    assert quality is not None
    assert quality.asr_grade == grade


@pytest.mark.parametrize(
    ("acd", "kept", "grade"),
    # Grade 2 is 30 to 59 s: kept down to 27 s and up to 67 s.
    [
        (27, 2, 2),
        (26, 2, 1),
        (67, 2, 2),
        (68, 2, 3),
        (16, 0, 0),
        (17, 0, 1),
        (5_000, 8, 8),
        (1_680, 8, 8),
        (1_679, 8, 7),
    ],
)
def test_an_acd_grade_is_left_by_an_eighth(acd: int, kept: int, grade: int) -> None:
    quality = graded(100, 10, 10 * acd, Quality(100, 10, 0, 1, kept))
    assert quality is not None
    assert quality.acd_grade == grade
