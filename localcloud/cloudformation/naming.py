"""Names for resources whose template gives none."""

from __future__ import annotations

from localcloud.extension import require


def physical_name(stack: str, logical_id: str, *, longest: int) -> str:
    """A name as CloudFormation makes it: stack, logical id, and letters that differ when it is replaced."""
    from ministack.services.cloudformation import provisioners

    require(provisioners, "_physical_name")
    return str(provisioners._physical_name(stack, logical_id, max_len=longest))
