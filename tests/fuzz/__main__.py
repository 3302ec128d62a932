"""``python -m tests.fuzz TARGET [SECONDS]``: runs a target under atheris from its seeds; 0 where nothing made it fall.

What makes a target fall is written to var/fuzz/TARGET-crash-HASH. To mend it: minimise it with
``python -m tests.fuzz TARGET --minimise FILE``, put the result into tests/fuzz/seeds/TARGET under a name that says what
it is, and mend the daemon; tests/integration/test_fuzz.py replays every seed.
"""

import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
FOUND = Path("var") / "fuzz"
SECONDS = 60  # of one target, where none are stated
MEMORY_MIB_MAX = 1_024  # of a target, the interpreter and the fuzzer's own tables; above it the input is a finding
INPUT_SECONDS_MAX = 10  # of one input; above it the input is a finding
LENGTHS_MAX = {"esl": 8_192, "radius": 4_200, "http": 4_096, "deck": 4_096}  # octets of one input


def main(words: list[str]) -> None:
    """Fuzz a target for a time, or minimise what makes it fall."""
    name, *rest = words
    if rest[:1] == ["--minimise"]:
        _minimise(name, Path(rest[1]))
        return
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: it has wheels for Linux on x86_64 alone; see docs/operations/discarded.md")
    with atheris.instrument_imports(include=["daemon"]):
        from tests.fuzz import targets  # what is imported here is instrumented
    from tests.fuzz.seeds import seeds  # and this is not

    # The fuzzer ends the process where it stands, so that nothing cleans up behind it: the next run does.
    work = FOUND / f"{name}-work"
    shutil.rmtree(work, ignore_errors=True)
    corpus = work / "corpus"
    corpus.mkdir(parents=True)
    tempfile.tempdir = str(work.absolute())
    for number, seed in enumerate(seeds(name)):
        (corpus / f"{number:04}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *_options(name, rest, str(corpus))], targets.TARGETS[name])
    atheris.Fuzz()


def _options(name: str, rest: list[str], folder: str) -> list[str]:
    seconds = int(rest[0]) if rest else SECONDS
    return [
        f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={INPUT_SECONDS_MAX}", f"-max_len={LENGTHS_MAX[name]}",
        f"-artifact_prefix={FOUND}/{name}-", f"-max_total_time={seconds}", "-print_final_stats=1",
        f"-dict={FOLDER / 'dictionaries' / f'{name}.dict'}", folder,
    ]  # fmt: skip


def _minimise(name: str, path: Path) -> None:
    from tests.fuzz.minimise import minimised
    from tests.fuzz.targets import TARGETS

    found = minimised(TARGETS[name], path.read_bytes())
    path.with_name(f"{path.name}.min").write_bytes(found)
    print(f"{path}.min: {len(found)} octets: {found[:200]!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
