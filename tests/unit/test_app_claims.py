"""Which switches a daemon serves: what one road asks for never gives up what another has."""

from collections.abc import Collection

from daemon.app_claims import Claims


async def test_the_store_is_told_of_all_roads_names_and_each_road_of_its_own() -> None:
    asked: list[frozenset[str]] = []

    async def claimed(names: Collection[str]) -> Collection[str]:
        asked.append(frozenset(names))
        return [name for name in names if name != "fs2"]

    claims = Claims(claimed)
    one, other = claims.of("esl"), claims.of("asterisk")
    assert await one(["fs1", "fs2"]) == ["fs1"]
    assert await other(["asterisk/fs1"]) == ["asterisk/fs1"]
    assert await one([]) == []
    assert asked == [{"fs1", "fs2"}, {"fs1", "fs2", "asterisk/fs1"}, {"asterisk/fs1"}]
