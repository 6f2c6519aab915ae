"""Checks of the fields of models: networks and classes."""

__all__ = ["check_classes", "check_network"]

from numbers import Integral
from typing import Any

from ppgm.domains import check_size
from ppgm.errors import ArgumentError


def check_network(name: str, net: Any, inputs: int, outputs: int) -> None:
    """Checks that a network, if one is given, has the sizes that a model needs.

    Raises:
        ArgumentError: Names the field, the sizes and what came.
    """
    if net is not None and (net.inputs, net.outputs) != (inputs, outputs):
        raise ArgumentError(
            f"{name} must map {inputs} numbers to {outputs}; it maps {net.inputs} to {net.outputs}"
        )


def check_classes(owner: Any) -> None:
    """Checks the fields `classes`, `prior` and `missing` of a model of classes.

    Raises:
        ArgumentError: Names the class, the field and the value.
    """
    check_size(owner, "classes", least=2)
    kind = type(owner).__name__
    if owner.prior not in ("uniform", "learnt"):
        raise ArgumentError(f"{kind}: prior must be 'uniform' or 'learnt', not {owner.prior!r}")
    marker = owner.missing
    whole = isinstance(marker, Integral) and not isinstance(marker, bool)
    if not whole or 0 <= int(marker) < owner.classes:
        raise ArgumentError(
            f"{kind}: missing must be an integer outside 0, ..., {owner.classes - 1}, "
            f"not {marker!r}"
        )
