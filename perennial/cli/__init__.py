"""The command line: `perennial`. Works against AWS or the local cloud alike (AWS_ENDPOINT_URL)."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the installed script."""
    from perennial.cli.app import run

    run()
