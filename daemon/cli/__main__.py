"""``python -m daemon.cli`` is ``tollway``."""

from daemon.cli.root import main

if __name__ == "__main__":
    main()
