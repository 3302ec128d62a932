"""Summary lines: what is grouped by what, and sums that equal those of the lines, whatever their order."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.billing_export.summary import CSV_HEADER, Summary
from daemon.charging.cdr import RatedCdr, reversal
from tests.unit.billing_export.ledger_of_records import CUT, RECORD

amounts = st.integers(0, 10**18)
records = st.builds(
    lambda account, destination, currency, charge, uncollected, cost, billed: RECORD.changed(
        account=account, destination=destination, currency=currency, charge=charge,
        uncollected=uncollected, cost=cost, billed_seconds=billed,
    ),
    st.sampled_from(["acme", "bolt"]), st.sampled_from(["UK", "France"]), st.sampled_from(["USD", "EUR"]),
    amounts, amounts, amounts, st.integers(0, 10**6),
)  # fmt: skip


def summed(of: list[RatedCdr]) -> Summary:
    """Return the summary of records."""
    summary = Summary()
    for record in of:
        summary.add(record)
    return summary


@given(st.lists(records, max_size=12), st.randoms(use_true_random=False))
def test_totals_are_the_sums_of_the_lines_in_any_order(listed: list[RatedCdr], random: object) -> None:
    totals = summed(listed).totals()
    for code in {record.currency for record in listed}:
        of_code = [record for record in listed if record.currency == code]
        assert totals[code].charge == sum(record.charge for record in of_code)
        assert totals[code].cost == sum(record.cost for record in of_code)
        assert totals[code].records == len(of_code)
    assert list(totals) == sorted({record.currency for record in listed})
    assert list(summed(listed[::-1]).csv_lines()) == list(summed(listed).csv_lines())


@given(st.lists(records, max_size=6))
def test_a_reversal_leaves_nothing_but_its_count(listed: list[RatedCdr]) -> None:
    both = summed([*listed, *(reversal(record, 2, CUT) for record in listed)])
    for sums in both.groups.values():
        assert sums[1:] == (0, 0, 0, 0)


def test_lines_are_grouped_sorted_and_written_so() -> None:
    other = RECORD.changed(account="=bolt", tax_code="T2", charge=1, uncollected=1, cost=0, billed_seconds=1)
    lines = list(summed([RECORD, other, RECORD]).csv_lines())
    assert CSV_HEADER == (
        b"account,destination,rate_type,tax_code,ledger_code,currency,records,seconds,charge,uncollected,cost\n"
    )
    assert lines == [
        b'\'=bolt,"UK, London",voice,T2,4000,USD,1,1,0.000000001,0.000000001,0.00\n',
        b'acme,"UK, London",voice,T1,4000,USD,2,132,0.0364,0.00,0.0132\n',
    ]
