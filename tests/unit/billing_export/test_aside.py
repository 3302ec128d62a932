"""A file is whole or absent."""

import hashlib
import os
from pathlib import Path

import pytest

from daemon.billing_export.aside import CHUNK_SIZE, AsideFile, locked
from daemon.billing_export.batch import ExportUnavailable


def test_a_published_file_holds_all_that_was_written_and_its_digest(tmp_path: Path) -> None:
    line = bytes(range(256)) * 1024
    with AsideFile(tmp_path / "usage.csv") as file:
        for _ in range(3):
            file.write(line)
        assert not (tmp_path / "usage.csv").exists()
        file.seal()
        file.publish()
    written = (tmp_path / "usage.csv").read_bytes()
    assert written == line * 3
    assert len(written) > 2 * CHUNK_SIZE
    assert (file.size, file.sha256) == (len(written), hashlib.sha256(written).hexdigest())
    assert os.listdir(tmp_path) == ["usage.csv"]


def test_an_unpublished_file_is_taken_away(tmp_path: Path) -> None:
    with AsideFile(tmp_path / "usage.csv") as file:
        file.write(b"half")
        assert os.listdir(tmp_path) == ["usage.csv.partial"]
    assert os.listdir(tmp_path) == []


def test_what_a_killed_export_left_aside_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "usage.csv.partial").write_bytes(b"longer than what comes now")
    with AsideFile(tmp_path / "usage.csv") as file:
        file.write(b"short")
        file.seal()
        file.publish()
    assert (tmp_path / "usage.csv").read_bytes() == b"short"


def test_a_file_cannot_be_published_before_it_is_sealed(tmp_path: Path) -> None:
    with AsideFile(tmp_path / "usage.csv") as file, pytest.raises(AssertionError):
        file.publish()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "usage.csv.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        AsideFile(tmp_path / "usage.csv")
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_files_are_not_for_everybody(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "exports"), AsideFile(tmp_path / "a" / "exports" / "usage.csv"):
        modes = [path.stat().st_mode & 0o007 for path in (tmp_path / "a").rglob("*")]
    assert len(modes) == 3
    assert set(modes) == {0}


def test_two_exports_never_write_one_directory_at_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ExportUnavailable, match="another export"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
