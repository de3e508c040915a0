"""
What is in a model archive, and one digest of it: what serving is told to find.

Whoever may write an archive may write the digests inside it too. So training lists the files, code included, in
`contents.json`; whoever admits the archive, elsewhere, checks that it holds these files and no others; and the digest
of the list is handed to the container by its environment.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from perennial.errors import ArtifactChanged

__all__ = ["CONTENTS", "MODEL_DIGEST", "archive_digest", "folder_digest", "list_contents"]

CONTENTS: Final = "contents.json"
# The variable of a container's environment that names the digest.
MODEL_DIGEST: Final = "MODEL_DIGEST"
_MOST_LIST_BYTES: Final = 16 * 1024**2


def list_contents(folder: Path) -> str:
    """Write the list of all that is in a model's folder; the digest of the list."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CONTENTS)
    listed = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    text = json.dumps(listed, indent=0, sort_keys=True)
    (folder / CONTENTS).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """
    The digest of a model's unpacked folder; what a container adds to it (caches, say) doesn't count.

    Raises
    ------
    ArtifactChanged
        A file of the list is missing or another one.
    """
    if not (folder / CONTENTS).is_file():
        raise ArtifactChanged(f"a model must list its files in {CONTENTS}. There is none.")
    text = (folder / CONTENTS).read_bytes()
    listed = _parsed(text)
    found = {name: _sha256(folder / name) for name in listed if (folder / name).is_file()}
    _require(listed, found)
    return hashlib.sha256(text).hexdigest()


def archive_digest(archive: IO[bytes]) -> str:
    """
    The digest of what an archive holds, read as a stream: nothing is written, nothing is unpickled.

    Raises
    ------
    ArtifactChanged
        It is no gzipped tar archive; it holds other files than it lists; or one of them twice or as a link, so that
        what is unpacked could be another.
    """
    found: dict[str, str] = {}
    text = b""
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as members:
            for member in members:
                name = posixpath.normpath(member.name)
                if member.isdir():
                    continue
                content = members.extractfile(member) if member.isreg() else None
                if content is None or name in found or (name == CONTENTS and member.size > _MOST_LIST_BYTES):
                    raise ArtifactChanged(
                        "an archive must hold ordinary files, each once, and a short list of them. Got something else."
                    )
                if name == CONTENTS:
                    text = content.read()
                    found[name] = ""
                else:
                    found[name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactChanged(
            f"a model must be a gzipped tar archive. Got something else instead ({type(error).__name__})."
        ) from error
    if found.pop(CONTENTS, None) is None:
        raise ArtifactChanged(f"a model must list its files in {CONTENTS}. There is none.")
    _require(_parsed(text), found, exactly=True)
    return hashlib.sha256(text).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _parsed(text: bytes) -> dict[str, str]:
    try:
        listed = json.loads(text)
    except ValueError:
        listed = None
    if not isinstance(listed, dict) or not all(isinstance(value, str) for value in listed.values()):
        raise ArtifactChanged(f"{CONTENTS} must be a list of files and their digests. Got something else instead.")
    return listed


def _require(listed: Mapping[str, str], found: Mapping[str, str], *, exactly: bool = False) -> None:
    missing = len(listed.keys() - found.keys())
    changed = sum(listed[name] != digest for name, digest in found.items() if name in listed)
    unlisted = len(found.keys() - listed.keys()) if exactly else 0
    if missing or changed or unlisted:
        raise ArtifactChanged(
            f"a model must be the files that {CONTENTS} lists. "
            f"Got {missing} missing, {changed} changed, {unlisted} unlisted instead."
        )
