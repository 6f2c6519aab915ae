"""What depends on what in a NumPyro model, found by shapes alone."""

__all__ = ["relations", "relations_in_use"]

from collections.abc import Callable, Mapping
from typing import Any

import jax
from numpyro import handlers
from numpyro.infer.inspect import get_model_relations

from ppgm.host_numpyro_ops import to_array
from ppgm.host_numpyro_run import Params, open_setup
from ppgm.programs import Program

Edge = tuple[str, str]


def relations(source: Program, data: Mapping[str, Any]) -> list[Edge]:
    """Returns the edges (parent, child) between sites of the model, parameters among them."""
    arrays = {k: to_array(v) for k, v in data.items()}
    found = _followed(source.model, open_setup(source, data).params, (), arrays)
    edges = _between(found["sample_sample"])
    edges += [
        (p.removesuffix("$params"), c) for c, ps in found["sample_param"].items() for p in ps
    ]
    return sorted(set(edges))


def relations_in_use(
    program: Program, params: Params, args: tuple[Any, ...], data: Mapping[str, Any]
) -> dict[str, list[Edge]]:
    """Returns the edges between the sites of each side of a program that NumPyro's SVI runs.

    NumPyro follows what a site is computed from through JAX's abstract evaluation: it looks at no
    number, so that arguments and parameters may be those of a function that is being compiled.
    """
    edges = {}
    # an array of numpy cannot be indexed by what a plate draws abstractly
    args, arrays = jax.tree.map(to_array, (args, dict(data)))
    for side in ("model", "guide"):
        found = _followed(getattr(program, side), params, args, arrays)
        edges[side] = _between(found["sample_sample"])
    return edges


def _followed(
    call: Callable[..., Any], params: Params, args: tuple[Any, ...], data: dict[str, Any]
) -> dict[str, Any]:
    seeded = handlers.seed(handlers.substitute(call, data=params), 0)
    return get_model_relations(seeded, args, data)


def _between(children: Mapping[str, list[str]]) -> list[Edge]:
    return [(p, c) for c, parents in children.items() for p in parents if p != c]
