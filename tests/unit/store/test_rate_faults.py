"""What prices name and nothing is: each fault of the store's own configuration in words, and none of a good one."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    ClassOfServiceSpec,
    CodeListSpec,
    Configuration,
    DestinationGroupSpec,
    RatePlanSpec,
    RateTableSpec,
    RateTypeSpec,
    TenantSpec,
)
from daemon.store.rate_faults import plan_currencies, rate_faults

GOOD = Configuration(
    1,
    tenants=(TenantSpec("main", "USD"),),
    rate_tables=(
        RateTableSpec("main", "voice", "USD", rate_types=(("A", "per_message"), ("B", "free")), code_list="own"),
        RateTableSpec("main", "sms", "USD"),
    ),
    rate_plans=(
        RatePlanSpec("main", "base", ("voice",)),
        RatePlanSpec("main", "retail", (), "base", on_net=("sms",)),
    ),
    accounts=(AccountSpec("main", "acme", AccountKind.PREPAID, "USD", class_of_service="office"),),
    rate_types=(RateTypeSpec("main", "free"),),
    code_lists=(
        CodeListSpec("main", "world", (("33", "France"),), standard=True),
        CodeListSpec("main", "own", (("44", "UK"),)),
    ),
    destination_groups=(DestinationGroupSpec("main", "far", destinations=("France",)),),
    classes_of_service=(ClassOfServiceSpec("main", "office", block_groups=("far",)),),
    bundles=(BundleSpec("main", "uk", "acme", 60, group="far"),),
)


def test_a_good_configuration_has_no_fault() -> None:
    assert list(rate_faults(GOOD)) == []
    assert plan_currencies(GOOD) == {("main", "base"): {"USD"}, ("main", "retail"): {"USD"}}


BASE, RETAIL = GOOD.rate_plans
CHANGES = [
    ({"rate_plans": (replace(BASE, tables=("voice", "gone")), RETAIL)}, "one of its tables voice, gone does not exist"),
    ({"rate_plans": (BASE, replace(RETAIL, on_net=("gone",)))}, "one of its on-net tables gone does not exist"),
    ({"rate_plans": (replace(BASE, tables=()), RETAIL)}, "rate_plan main/base has no tables and inherits none"),
    ({"rate_plans": (BASE, replace(RETAIL, inherits="gone"))}, "there is no rate plan gone to inherit"),
    ({"rate_plans": (replace(BASE, inherits="base"),)}, "rate_plan main/base inherits in a circle"),
    ({"rate_plans": (replace(BASE, inherits="retail"), RETAIL)}, "inherits in a circle"),
    ({"rate_types": ()}, "rate_table main/voice: there is no rate type free"),
    ({"code_lists": GOOD.code_lists[:1]}, "rate_table main/voice: there is no code list own"),
    ({"code_lists": tuple(replace(each, standard=True) for each in GOOD.code_lists)}, "more than one standard"),
    ({"code_lists": (replace(GOOD.code_lists[0], standard=False), GOOD.code_lists[1])}, "has no destination France"),
    ({"classes_of_service": ()}, "account main/acme: there is no class of service office"),
    ({"accounts": ()}, "bundle main/uk: there is no account acme"),
    ({"bundles": (replace(GOOD.bundles[0], group="near"),)}, "bundle main/uk: there is no destination group near"),
    (
        {"classes_of_service": (replace(GOOD.classes_of_service[0], allow_groups=("near",)),)},
        "class_of_service main/office: there is no destination group near",
    ),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_fault_is_told(changes: dict[str, object], words: str) -> None:
    faults = list(rate_faults(replace(GOOD, **changes)))  # type: ignore[arg-type]
    assert any(words in fault for fault in faults), faults


def test_plans_inherit_to_a_depth() -> None:
    deep = [BASE, *(RatePlanSpec("main", f"p{n}", inherits=f"p{n - 1}" if n else "base") for n in range(16))]
    faults = list(rate_faults(replace(GOOD, rate_plans=tuple(deep))))
    assert faults == ["rate_plan main/p15 inherits through more than 16 plans"]
