"""What an archive holds has one digest, whether it is read as a stream or unpacked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from perennial.artifact import CONTENTS, archive_digest, folder_digest, list_contents
from perennial.errors import ArtifactChanged

FILES = {"model.joblib": b"estimator", "model.json": b"{}", "code/inference.py": b"serve()"}


def make_folder(folder: Path) -> Path:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    list_contents(folder)
    return folder


def members(folder: Path) -> list[tuple[str, bytes | None]]:
    return [(name, (folder / name).read_bytes()) for name in (*FILES, CONTENTS)]


def packed(*entries: tuple[str, bytes | None], mode: str = "w:gz") -> io.BytesIO:
    """An archive of these files; None is a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in entries:
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "elsewhere"
            member.size = len(data or b"")
            archive.addfile(member, io.BytesIO(data or b""))
    return io.BytesIO(buffer.getvalue())


def test_an_archive_and_its_folder_have_one_digest_whatever_a_container_adds(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    archive = packed(*members(folder))
    (folder / "code" / "__pycache__").mkdir()
    (folder / "code" / "__pycache__" / "a.pyc").write_bytes(b"y")

    assert folder_digest(folder) == archive_digest(archive)
    assert folder_digest(folder) == archive_digest(
        packed(*((f"./{name}", data) for name, data in members(folder)[::-1]))
    )


@pytest.mark.parametrize("changed", FILES)
def test_every_file_counts_the_code_too(changed: str, tmp_path: Path) -> None:
    before = folder_digest(make_folder(tmp_path))
    (tmp_path / changed).write_bytes(b"another")
    with pytest.raises(ArtifactChanged, match="1 changed"):
        folder_digest(tmp_path)
    with pytest.raises(ArtifactChanged, match="1 changed"):
        archive_digest(packed(*members(tmp_path)))
    assert list_contents(tmp_path) == folder_digest(tmp_path) != before


def test_what_could_be_unpacked_as_something_else_is_refused(tmp_path: Path) -> None:
    entries = members(make_folder(tmp_path))
    cases = {
        "0 changed, 1 unlisted": packed(*entries, ("code/more.py", b"x")),
        "1 missing": packed(*entries[1:]),
        "each once": packed(*entries, ("./model.joblib", b"another")),
        "ordinary files": packed(*entries[1:], ("model.joblib", None)),
        "There is none": packed(*entries[:-1]),
        "something else instead": packed(*entries[:-1], (CONTENTS, b"[]")),
        "gzipped tar archive must": packed(*entries, mode="w"),
        "gzipped tar archive": io.BytesIO(b"no archive"),
        "a model must": io.BytesIO(packed(*entries).getvalue()[:-30]),
    }
    for sentence, archive in cases.items():
        with pytest.raises(ArtifactChanged, match=sentence.removesuffix(" must")):
            archive_digest(archive)


def test_a_folder_without_a_list_or_a_file_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactChanged, match="There is none"):
        folder_digest(tmp_path)
    make_folder(tmp_path)
    (tmp_path / "model.joblib").unlink()
    with pytest.raises(ArtifactChanged, match="1 missing"):
        folder_digest(tmp_path)
