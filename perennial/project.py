"""
A loop: one folder that a user writes, read into frozen policies, or every mistake in it at once.

`loop.toml` holds the contract and the policies; `model.py` holds `build_estimator(hyperparameters)` and is only looked
at here, never run.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perennial.consistency import inconsistencies
from perennial.contract import Contract
from perennial.cost import CostPolicy
from perennial.dataset import TrainingPolicy
from perennial.errors import LoopInvalid, LoopUnknown
from perennial.gate import GatePolicy
from perennial.governance import GovernancePolicy
from perennial.labels import LabelPolicy
from perennial.metrics import Task, default_metric
from perennial.mistakes import Mistake, from_pydantic, suggestion
from perennial.rollout import RolloutPolicy
from perennial.toml_lines import key_lines, nearest_line
from perennial.trigger import TriggerPolicy

__all__ = ["Loop", "find_loops", "load_loop", "parse_loop"]

_FILE: Final = "loop.toml"
_MODEL: Final = "model.py"
_BUILD: Final = "build_estimator"
# Sections of the file that are fields of `Loop` under another name.
_SECTIONS: Final = {
    "data": "contract",
    "labels": "labels",
    "training": "training",
    "triggers": "triggers",
    "gate": "gate",
    "rollout": "rollout",
    "governance": "governance",
    "cost": "cost",
}


class Loop(BaseModel):
    """Everything that a loop's folder says, with every default filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # SageMaker, S3 and DynamoDB names are made from it.
    name: Annotated[str, Field(pattern=r"^[a-z](?:-?[a-z0-9])+$", max_length=29)]
    description: str = ""
    owner: str = ""
    task: Task
    contract: Contract
    labels: LabelPolicy = LabelPolicy()
    training: TrainingPolicy = TrainingPolicy()
    triggers: TriggerPolicy = TriggerPolicy()
    gate: GatePolicy
    rollout: RolloutPolicy = RolloutPolicy()
    governance: GovernancePolicy = GovernancePolicy()
    cost: CostPolicy = CostPolicy()

    @model_validator(mode="before")
    @classmethod
    def _gate_has_a_metric(cls, given: Any) -> Any:
        """A gate that names no metric gets the task's."""
        if not isinstance(given, dict):
            return given
        gate = given.get("gate", {})
        if isinstance(gate, dict) and "metric" not in gate and given.get("task") in Task.__args__:  # type: ignore[attr-defined]
            return {**given, "gate": {**gate, "metric": default_metric(given["task"])}}
        return {"gate": {}, **given}

    def to_json(self) -> str:
        """
        The loop as JSON: the same loop always gives the same text.

        Columns keep the order of the file, since it is the order of a model's features.
        """
        plain = self.model_dump(mode="json")
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Loop:
        """The loop that `to_json` wrote."""
        return cls.model_validate_json(text)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def find_loops(root: Path) -> tuple[str, ...]:
    """The names of all loops under `root`: folders that hold a loop.toml."""
    if not root.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in root.iterdir() if (folder / _FILE).is_file()))


def load_loop(folder: Path) -> Loop:
    """
    The loop of `folder`.

    Raises
    ------
    LoopUnknown
        The folder holds no loop.toml; says which loops are beside it.
    LoopInvalid
        Its loop.toml or model.py is wrong: all mistakes, each with file and line.
    """
    if not (folder / _FILE).is_file():
        existing = find_loops(folder.parent)
        close = difflib.get_close_matches(folder.name, existing, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(existing) or "none"
        raise LoopUnknown(f"a loop must be one of: {known} (in {folder.parent}). Got {folder.name!r} instead.{meant}")
    mistakes = list(_model_mistakes(folder / _MODEL))
    try:
        loop = parse_loop((folder / _FILE).read_bytes(), folder_name=folder.name)
    except LoopInvalid as error:
        raise LoopInvalid([*error.mistakes, *mistakes]) from error
    if mistakes:
        raise LoopInvalid(mistakes)
    return loop


def parse_loop(content: bytes | str, *, folder_name: str | None = None) -> Loop:
    """
    The loop that the text of a loop.toml describes.

    Raises
    ------
    LoopInvalid
        All mistakes, each as `loop.toml:LINE: [section] sentence`.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise LoopInvalid([f"{_FILE}: it must be UTF-8 text. Got byte {error.start} wrong instead."]) from error
    except tomllib.TOMLDecodeError as error:
        raise LoopInvalid([_syntax_mistake(error, text)]) from error
    lines = key_lines(text)
    mistakes = {mistake.path: mistake for mistake in inconsistencies(document, folder_name=folder_name)}
    fields, strangers = _fields(document)
    loop: Loop | None = None
    try:
        loop = Loop.model_validate(fields)
    except ValidationError as error:
        for mistake in from_pydantic(error.errors(include_url=False), fields, Loop):
            path = _file_path(mistake.path)
            mistakes.setdefault(path, Mistake(path, _told_in_file(mistake.sentence, path)))
    found = [*mistakes.values(), *strangers]
    if loop is None or found:
        placed = sorted((nearest_line(lines, one.path), _table(one.path, document), one.sentence) for one in found)
        raise LoopInvalid([f"{_FILE}:{line}: {table}{sentence}" for line, table, sentence in placed])
    return loop


def _table(path: tuple[str | int, ...], document: Mapping[str, Any]) -> str:
    """The table that a mistake lies in, as the file's header would name it."""
    names: list[str] = []
    here: Any = document
    for part in path[:-1]:
        here = here.get(part) if isinstance(here, Mapping) else None
        if names and not isinstance(here, Mapping):
            break
        names.append(str(part))
    return f"[{'.'.join(names)}] " if names else ""


def _syntax_mistake(error: tomllib.TOMLDecodeError, text: str) -> str:
    told = str(error)
    line = text.count("\n") + 1
    if "(at line " in told:
        line = int(told.split("(at line ", 1)[1].split(",", 1)[0])
    return f"{_FILE}:{line}: it must be TOML. {told}."


def _fields(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """The fields of `Loop` that the document gives, and the sections that no loop has."""
    fields: dict[str, Any] = {}
    strangers = []
    for section, content in document.items():
        if section == "loop":
            if isinstance(content, dict):
                fields |= {key: value for key, value in content.items() if key not in _SECTIONS.values()}
            else:
                strangers.append(Mistake((section,), "loop must be a table. Write [loop]."))
        elif section in _SECTIONS:
            fields[_SECTIONS[section]] = content
        else:
            known = ("loop", *_SECTIONS)
            told = f"{section} is not known: a section must be one of {', '.join(known)}.{suggestion(section, known)}"
            strangers.append(Mistake((section,), told))
    return fields, strangers


def _told_in_file(sentence: str, path: tuple[str | int, ...]) -> str:
    """A sentence about the field `contract` as a whole speaks of its section."""
    return f"data {sentence.removeprefix('contract ')}" if path == ("data",) else sentence


def _file_path(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a field of `Loop` stands in the file."""
    names = {field: section for section, field in _SECTIONS.items()}
    if not path:
        return ("loop",)
    return (names[str(path[0])], *path[1:]) if path[0] in names else ("loop", *path)


def _model_mistakes(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{_MODEL}: the folder must hold it, with {_BUILD}(hyperparameters). Got no such file instead."]
    try:
        tree = ast.parse(path.read_bytes(), filename=_MODEL)
    except SyntaxError as error:
        return [f"{_MODEL}:{error.lineno or 1}: it must be Python. {error.msg}."]
    except ValueError as error:
        return [f"{_MODEL}:1: it must be Python. {error}."]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == _BUILD:
            return [] if node.args.args else [f"{_MODEL}:{node.lineno}: {_BUILD} must take the hyperparameters."]
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) and _binds(node, _BUILD):
            return []
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f"{_MODEL}:1: it must define {_BUILD}(hyperparameters).{suggestion(_BUILD, names)}"]


def _binds(node: ast.Import | ast.ImportFrom | ast.Assign, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return any((alias.asname or alias.name) == name for alias in node.names)
