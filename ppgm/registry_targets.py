"""Targets of the registry, `package.module:Class`: imported, compared, or looked up as text."""

__all__ = ["docstring", "is_target", "resolve"]

import ast
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
    """Reads the first line of a class's or function's docstring from its source text."""
    module, _, name = target.partition(":")
    stem = root.joinpath(*module.split("."))
    source = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""  # not in plain files here, or broken: then `get` says how

    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
