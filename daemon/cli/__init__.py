"""The command ``tollway``: one module for each group of commands; every command takes ``--json``."""

from daemon.cli.root import main

__all__ = ["main"]
