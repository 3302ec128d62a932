"""``python -m daemon.cli.reference``: writes the generated pages of docs/; ``--check`` tells if one is old.

What a command's help and a key's declaration say is all there is: a page by hand would be a second truth.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from daemon.charging.discarded import REASONS
from daemon.cli.root import tollway
from daemon.config_files.reference import reference as settings_page

DOCS = Path(__file__).resolve().parents[2] / "docs"
_WIDTH = 100  # columns of a usage line before it folds
_HEAD = """\
# The command `tollway`

Written from the code by `make docs`. `tollway [--config conf/tollway.toml] GROUP COMMAND`; `--config` can be given as
`TOLLWAY_CONFIG` too.

| exit status | means |
| --- | --- |
| 0 | done |
| 1 | refused or partly refused; the reasons are on stderr |
| 2 | usage |
| 69 | a needed service is unavailable: no store (its absolute path is named), no daemon, no reply |
| 78 | bad configuration: all errors at once, each `file:line: key: what and how to mend` |

Every command takes `--json`: one document on stdout, money as decimal text, times as RFC 3339 in UTC. No secret is ever
printed, but a token once, when it is created. Only `run`, `apply` and `db upgrade` create a store. An account is `ID`
of the owner, or `TENANT/ID`. What a command changes, a running daemon follows within a second.
"""


_DISCARDED_HEAD = """\
# What is not taken: `tollway_discarded_total`

Written from the code by `make docs`. Whatever comes from outside and is not taken raises
`tollway_discarded_total{listener,reason}` by one: never by none, and never by two, whatever else is wrong with it. The
first reason that fits is counted. There are no other pairs than these; a reason `other` is a fault of the daemon.

A refused call is no discard: it is answered, and `tollway_decisions_total` counts it. A connection or link that only
went away between two messages is none either.

What to watch: `unknown_client`, `authenticator` and `message_authenticator` of a switch that was just set up mean a
wrong address or secret; `unauthenticated` a token that is no longer in force; `login` and `late` of `esl` a link that
does not come up. Anything under `internal`, `internal_error` or `reply` deserves a look at the log. The rest is what
scanners send: a rate that jumps is worth knowing, a single one is not.

Commands read files too, and no daemon counts them: `tollway check` and `apply` end with status 78, `rate import` with
1, each fault as `file:line: key: what and how to mend`, and nothing is changed. A scenario or deck that was refused
leaves the store as it was, to the last row.

The cases that this is held against are tables to be read and extended: `tests/tables/hostile/*/cases.toml`, of `http`,
`esl`, `scenario`, `settings` and `decks`, and the `neg-*` packets of `tests/vectors/radius_vectors.json`. `make fuzz`
makes more of them for `FUZZ_SECONDS` (300) of each target: `esl`, `radius`, `http` bodies and `deck`; `make test` does
so for a minute. It needs atheris, which is there for Linux on x86_64. What makes a target fall lies in `var/fuzz`;
minimised it belongs into `tests/fuzz/seeds`, where every test run replays it.
"""


def commands(group: click.Group, context: click.Context, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group with the words that call it, groups included."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, context, f"{words} {name}")


def pages() -> dict[str, str]:
    """Return every generated page by its name in docs/."""
    return {"cli.md": commands_page(), "settings.md": settings_page(), "operations/discarded.md": discarded_page()}


def discarded_page() -> str:
    """Return the page of what is not taken at all, by listener and reason."""
    parts = [_DISCARDED_HEAD]
    for listener, reasons in REASONS.items():
        rows = [f"| `{reason}` | {meaning} |" for reason, meaning in reasons.items()]
        parts.append(
            "\n".join(
                [f"## `{listener}`\n", "| reason | what was not taken, and what follows |", "| --- | --- |", *rows, ""]
            )
        )
    return "\n".join(parts)


def commands_page() -> str:
    """Return the page of the commands."""
    context = click.Context(tollway, info_name="tollway", max_content_width=_WIDTH, terminal_width=_WIDTH)
    parts = [_HEAD]
    for words, command in commands(tollway, context, "tollway"):
        parts.append(_section(words, command, context))
    return "\n".join(parts)


def _section(words: str, command: click.Command, context: click.Context) -> str:
    level = "##" if words.count(" ") == 1 else "###"
    text = (command.help or "").replace("\f", "").strip()
    lines = [f"{level} `{words}`", "", *_paragraphs(text), ""]
    if isinstance(command, click.Group):
        return "\n".join(lines)
    inner = click.Context(command, info_name=words, max_content_width=_WIDTH, terminal_width=_WIDTH)
    usage = " ".join(command.collect_usage_pieces(inner))
    lines += ["```", f"{words} {usage}", "```", ""]
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        lines += ["| option | |", "| --- | --- |", *(_row(option, inner) for option in options), ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return [line for part in paragraphs for line in (part, "")][:-1]


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, option.name
    name, text = record
    # A bar would end the cell, inside code too.
    shown = " ".join(name.split()).replace("|", "\\|")
    return f"| `{shown}` | {' '.join(text.split())} |"


def old_pages() -> list[Path]:
    """Return the pages that are not what would be written."""
    wanted = {DOCS / name: text for name, text in pages().items()}
    return [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main() -> None:
    """Write the pages, or with ``--check`` exit with 1 where one is old."""
    if "--check" in sys.argv[1:]:
        old = old_pages()
        for path in old:
            click.echo(f"{path} is old: run 'make docs'", err=True)
        sys.exit(1 if old else 0)
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        click.echo(str(DOCS / name))


if __name__ == "__main__":
    main()
