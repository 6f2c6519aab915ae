"""Targets of the registry, `package.module:Class`: imported, compared, or looked up as text."""

__all__ = ["docstring", "is_target", "plain", "resolve"]

import ast
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def resolve(target: str) -> Any:
    """Imports and returns what a target names."""
    module, _, path = target.partition(":")
    value = import_module(module)
    for attribute in path.split("."):
        value = getattr(value, attribute)
    return value


def is_target(cls: type, target: str) -> bool:
    """Tells whether a target names the class, without importing anything."""
    module, _, path = target.partition(":")
    if path != cls.__qualname__:
        return False
    if module == cls.__module__:
        return True
    # A package may re-export a class: compare the object itself, where its module is imported.
    return getattr(sys.modules.get(module), path, None) is cls


def docstring(root: Path, target: str) -> str:
    """Reads the first line of a class's or function's docstring from its source text, plain."""
    module, _, name = target.partition(":")
    stem = root.joinpath(*module.split("."))
    source = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""  # not in plain files here, or broken: then `get` says how

    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return plain((ast.get_docstring(node) or "").partition("\n")[0])
    return ""


def plain(text: str) -> str:
    """Returns a line of reStructuredText for a terminal: roles, code and formulas as letters."""
    text = re.sub(r":[a-z:]+:`([^`]*)`", lambda found: _letters(found[1]), text)
    return re.sub(r"(`+)([^`]*)\1", r"\2", text)


def _letters(formula: str) -> str:
    """Returns a short formula without LaTeX: its letters by name, braces as brackets."""
    text = re.sub(r"\\(?:mathrm|mathbf|mathbb|text)\{([^{}]*)\}", r"\1", formula)
    text = text.replace(r"\sim", "~").replace(r"\le ", "<= ").replace(r"\ge ", ">= ")
    text = re.sub(r"\\([A-Za-z]+)", r"\1", text)
    return re.sub(r"\{([^{}]*)\}", r"(\1)", text).replace("\\", "")
