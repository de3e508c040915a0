"""Which model version a person means: its whole name, or the beginning of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from perennial.errors import ModelUnknown

__all__ = ["choose_model"]

# Shorter beginnings are more likely a slip than a name.
_SHORTEST: Final = 4
_LISTED: Final = 8


def choose_model(known: Iterable[str], given: str, *, what: str) -> str:
    """
    The one of `known` that is `given` or begins with it.

    Parameters
    ----------
    what
        What `known` are, for the error: "a model version of loop x".

    Raises
    ------
    ModelUnknown
        None is, or several are; says which exist.

    >>> choose_model(["0a1b2c3d", "0a1bffff"], "0a1b2", what="a model")
    '0a1b2c3d'
    >>> choose_model(["0a1b2c3d", "0a1bffff"], "0a1b", what="a model")
    Traceback (most recent call last):
    perennial.errors.ModelUnknown: the name must be that of a model (0a1b2c3d, 0a1bffff). Got '0a1b' instead.
    """
    names = sorted(known)
    if given in names:
        return given
    begun = [name for name in names if len(given) >= _SHORTEST and name.startswith(given)]
    if len(begun) == 1:
        return begun[0]
    listed = begun or names
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    raise ModelUnknown(
        f"the name must be that of {what} ({', '.join(listed[:_LISTED]) or 'there is none'}{more}). "
        f"Got {given!r} instead."
    )
