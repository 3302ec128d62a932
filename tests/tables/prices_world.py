"""The prices of a scenario file, as the daemon has them: read, kept as the store keeps it, built into a catalog."""

from pathlib import Path

import msgspec

from daemon.app_prices import PricedCall, Question, priced_call
from daemon.authorize.catalog import Catalog, Emergency
from daemon.charging.configuration import build_catalog, policy_of
from daemon.config_files.scenario_file import read_scenario
from daemon.kernel.ids import Key
from daemon.rating.rate_table import RateTable
from daemon.store.objects import configuration_of, kind_of


def catalog_of(path: Path) -> Catalog:
    """Return the catalog of a good scenario file, whose objects travelled through the store's own form."""
    scenario, problems = read_scenario(path, token_ids=("switch",))
    assert scenario is not None, problems
    rows = [(kind_of(spec), msgspec.json.encode(spec)) for spec in scenario.objects]
    configuration = configuration_of(1, rows)
    tables = {}
    for spec in configuration.rate_tables:
        key = Key(spec.tenant, spec.id)
        table, errors = RateTable.of(policy_of(spec, 1, configuration), scenario.decks.get(key, []))
        assert table is not None, errors
        tables[key] = table
    numbers = {("customer", spec.tenant, spec.id): place for place, spec in enumerate(configuration.accounts)}
    numbers |= {("carrier", spec.tenant, spec.id): 1_000 + place for place, spec in enumerate(configuration.carriers)}
    return build_catalog(configuration, tables, numbers, Emergency())


def priced(catalog: Catalog, question: Question) -> PricedCall:
    """Return the price of a call by a plan of the owner's."""
    account = catalog.accounts[Key("main", question.account)] if question.account else None
    return priced_call(catalog, Key("main", question.plan), account, question)
