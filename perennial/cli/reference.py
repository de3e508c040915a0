"""docs/reference/cli.md from the commands: `python -m perennial.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import typer

from perennial.cli.app import app

__all__ = ["commands", "render"]

_KINDS: Final = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}
_HEAD: Final = """\
# The command line

Made by `python -m perennial.cli.reference` from the commands themselves; a test holds this page to them.

Every command works against AWS or the local cloud alike: set `AWS_ENDPOINT_URL` to what `perennial up` prints for the
latter. Exit codes: 0 good; 1 the answer is no (a refused file, a failed check, drift with `--fail`, a broken ledger);
2 the input is wrong, and one sentence on standard error says what exists or what would be right.

`perennial` has no command that deletes a deployment: `.venv/bin/python -m infra.cdk_cli destroy --all` does, see
[operations](../operations.md#destroying).
"""


def render() -> str:
    """The page: every command with what it says of itself, its arguments and its options."""
    found = list(commands())
    listed = [f"| [`{name}`](#{name.replace(' ', '-')}) | {_cell(command.help)} |" for name, command in found]
    parts = [_HEAD, "\n".join(["| command | what it does |", "|---|---|", *listed]) + "\n"]
    return "\n".join([*parts, *(_section(name, command) for name, command in found)])


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, such as "perennial audit verify", in the order of names."""
    return _commands(typer.main.get_command(app), "perennial")


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word in sorted(inner):
        yield from _commands(inner[word], f"{name} {word}")


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    usage = " ".join([name, *(_shown(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {name}", "", command.help, "", f"    {usage}", "", "| | what it is |", "|---|---|"]
    lines += [f"| `{_shown(one)}` | {_described(one)} |" for one in arguments]
    lines += [f"| `{_named(one)}` | {_described(one)} |" for one in options]
    return "\n".join(lines) + "\n"


def _shown(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _named(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len, reverse=True))
    if option.is_flag:
        return names
    given = option.type_descriptor.annotation
    (kind,) = {one for one in (given, *get_args(given)) if one in _KINDS} or {str}
    return f"{names} {_KINDS[kind]}" + ("..." if option.multiple else "")


def _described(parameter: Any) -> str:
    text = _cell(parameter.help)
    if parameter.param_type_name == "option" and parameter.required:
        return f"{text} Required."
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if getattr(parameter, "is_flag", False) or default is None or parameter.required:
        return text
    return f"{text} Default: {default}."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
