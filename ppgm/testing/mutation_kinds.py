"""What a mutant is, and the kinds of faults."""

from typing import NamedTuple

__all__ = ["KINDS", "Mutant", "tests_of"]

KINDS = {
    "M1": "scale of a subsample missing, doubled, inverted or inside the logarithm",
    "M2": "log determinant or normaliser of a change of variables wrong",
    "M3": "stop-gradient or score term wrong",
    "M4": "players of a game: sign, real and fake swapped",
    "M5": "weights: no -log K, p and q swapped, joint over the batch",
    "M6": "event and batch dimensions confused",
    "M7": "mean for sum, or sum for mean",
    "M8": "draws detached, parameters left out or touched by another player",
    "M9": "variance, standard deviation and precision confused",
    "M10": "steps, masks and chains off",
    "M11": "noise or seeds used twice, state of a generator lost",
    "M13": "autoregressive mask, order or conditioning wrong",
    "M14": "density without its normaliser or with the wrong sign, derivative wrong",
    "M15": "Jacobian or density of another value, kept too long",
    "M16": "weights of enumerated values, prior or entropy missing",
    "M17": "estimate of a bias, a variance or an error wrong",
}
"""Kinds of faults; the numbers left out are of models that the package does not have."""


class Mutant(NamedTuple):
    """One fault.

    Attributes:
        name: What is wrong.
        kind: One of `KINDS`.
        file: The file, from the project's folder.
        old: The text to replace, in the file exactly once.
        new: What to put there.
        tests: Arguments of pytest; at least one of the tests must fail.
    """

    name: str
    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def tests_of(file: str, *names: str) -> tuple[str, ...]:
    """Returns the arguments of pytest for tests of a file."""
    return tuple(f"tests/test_{file}.py::test_{name}" for name in names)
