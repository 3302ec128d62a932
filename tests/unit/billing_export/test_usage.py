"""The usage line, byte for byte, and its columns as promised to the outside."""

from daemon.billing_export.usage import COLUMNS, CSV_HEADER, UsageLine, encoded
from daemon.charging.cdr import reversal
from daemon.rating.bundle import Units
from tests.unit.billing_export.ledger_of_records import CUT, RECORD, record

PROMISED = (
    "record_id,call_id,attempt,part,leg,account,direction,from,to,prefix,destination,rate_table,deck_version,"
    "rate_type,override,started_at,answered_at,ended_at,duration_seconds,switch_seconds,billed_seconds,units,unit,"
    "rate,connect_fee,charge,uncollected,currency,tax_code,ledger_code,bundle_units,carrier,cost,margin,source,"
    "switch,cause,settled_by,status,late,reverses,"
    "rounding,rate_currency,conversion_rate,conversion_from,supplier_cost,supplier_currency,cost_conversion_rate,"
    "cost_conversion_from,surcharge,surcharge_rate,overrun_seconds"
)

CSV_LINE = (
    'g1.0.1,c-1@192.0.2.1,1,1,a,acme,outbound,\'+15551230001,442071231234,4420,"UK, London",retail,3,voice,VOICE,'
    "2026-11-24T01:28:20.000000Z,2026-11-24T01:28:30.000000Z,2026-11-24T01:29:32.800000Z,62.800000,62,66,66,second,"
    "0.012,0.005,0.0182,0.00,USD,T1,4000,0,carrier-a,0.0066,0.0116,esl,fs1,NORMAL_CLEARING,hangup,rated,false,,"
    '"4 up, duration up",USD,,,0.0066,USD,,,0.00,0.00,0.000000\n'
)
JSON_LINE = (
    '{"record_id":"g1.0.1","call_id":"c-1@192.0.2.1","attempt":1,"part":1,"leg":"a","account":"acme",'
    '"direction":"outbound","from":"+15551230001","to":"442071231234","prefix":"4420","destination":"UK, London",'
    '"rate_table":"retail","deck_version":3,"rate_type":"voice","override":"VOICE",'
    '"started_at":"2026-11-24T01:28:20.000000Z","answered_at":"2026-11-24T01:28:30.000000Z",'
    '"ended_at":"2026-11-24T01:29:32.800000Z","duration_seconds":"62.800000","switch_seconds":62,"billed_seconds":66,'
    '"units":66,"unit":"second","rate":"0.012","connect_fee":"0.005","charge":"0.0182","uncollected":"0.00",'
    '"currency":"USD","tax_code":"T1","ledger_code":"4000","bundle_units":0,"carrier":"carrier-a","cost":"0.0066",'
    '"margin":"0.0116","source":"esl","switch":"fs1","cause":"NORMAL_CLEARING","settled_by":"hangup",'
    '"status":"rated","late":false,"reverses":"","rounding":"4 up, duration up","rate_currency":"USD",'
    '"conversion_rate":null,"conversion_from":null,"supplier_cost":"0.0066","supplier_currency":"USD",'
    '"cost_conversion_rate":null,"cost_conversion_from":null,"surcharge":"0.00","surcharge_rate":"0.00",'
    '"overrun_seconds":"0.000000"}\n'
)


def test_the_columns_are_those_promised_in_their_order() -> None:
    assert f"{PROMISED}\n".encode() == CSV_HEADER


def test_a_line_byte_for_byte() -> None:
    assert encoded(UsageLine(record(1, calling="+15551230001", called=RECORD.called), late=False)) == (
        CSV_LINE.encode(),
        JSON_LINE.encode(),
    )


def test_a_reversal_takes_units_and_money_away_and_names_what_it_reverses() -> None:
    used = (Units("bundle:uk:month", 30, 1), Units("volume:retail:month", 66, 1))
    reversed_record = reversal(record(1, uncollected=1_000_000, bundle_units=30, metered=used), 2, CUT)
    line = UsageLine(reversed_record, late=True)
    names = ("record_id", "units", "billed_seconds", "charge", "uncollected", "bundle_units")
    assert {name: COLUMNS[name](line) for name in names} == {
        "record_id": "g1.0.2", "units": -66, "billed_seconds": 66, "charge": "-0.0182", "uncollected": "-0.001",
        "bundle_units": -30,
    }  # fmt: skip
    assert [units.units for units in reversed_record.metered] == [-30, -66]
    assert (COLUMNS["status"](line), COLUMNS["reverses"](line), COLUMNS["late"](line)) == ("reversal", "g1.0.1", True)


def test_a_switch_that_counted_no_seconds_leaves_the_cell_empty() -> None:
    csv_line, json_line = encoded(UsageLine(record(1, switch_seconds=None), late=False))
    assert b",62.800000,,66," in csv_line
    assert b'"switch_seconds":null' in json_line
