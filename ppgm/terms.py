"""Terms of a trace, and their reduction to weights.

A *term* is the log density of one site over K particles, with one axis per plate. `weigh` sums
terms to the rows of a program, so that objectives see arrays of shape ``(K, *rows)`` only.
"""

__all__ = ["Block", "Layout", "Term", "Weights", "to_rows", "weigh"]

from collections.abc import Sequence
from typing import NamedTuple

from ppgm.ops import Array, Ops


class Term(NamedTuple):
    """Log density of one site.

    Attributes:
        name: The site.
        side: "model" or "guide".
        kind: "latent", "observed", "factor".
        value: Its value.
        log_prob: Log density, shape ``(K, *plates)``: one axis per plate dimension of the
            program, of length 1 where the site is outside that plate. The user's own scale
            and mask handlers are in it, the scale of subsampled plates is not.
        plates: Names of its plates.
        reparameterised: Whether the draw carries gradients.
        enumerated: Whether the particles run through all values of this site.
        drawn: For a draw that is not reparameterised, the log density that it was drawn from,
            ``(K, *plates)``: without the user's scale and mask, which temper the objective but
            not the draw.
    """

    name: str
    side: str
    kind: str
    value: Array
    log_prob: Array
    plates: tuple[str, ...]
    reparameterised: bool
    enumerated: bool
    drawn: Array | None = None


class Layout(NamedTuple):
    """How plates lie in the axes of a term, and how many data each row stands for.

    Attributes:
        axes: Axis of each plate in `Term.log_prob`.
        rows: Names of the row plates, in the order of their axes.
        scales: Number of data that one row of a plate stands for (N/B under subsampling):
            a float, or one number per row, shaped to broadcast against a term.
        dims: Number of plate axes.
    """

    axes: dict[str, int]
    rows: tuple[str, ...]
    scales: dict[str, Array | float]
    dims: int


class Block(NamedTuple):
    """A set of score-function terms that share a learning signal.

    Attributes:
        signal: Sum of all weights that these sites can influence, ``(K, *)``.
        score: Their log density under the guide, ``(K, *)``.
        scale: Number of data that one entry stands for, broadcastable to ``(*)``.
    """

    signal: Array
    score: Array
    scale: Array | float


class Weights(NamedTuple):
    """Log weights of K particles, each array of shape ``(K, *rows)``.

    Attributes:
        log_p: Log joint density of data and draws.
        log_q: Log density of the draws under the guide.
        log_prior: The part of `log_p` that belongs to latent sites.
        score: Log density that the draws which are not reparameterised came from, without any
            scale: a subsampled plate scales their signal. None if every draw is reparameterised.
        log_q_stopped: `log_q` with the guide's parameters held constant, so that only the draws
            carry gradients; None unless asked for.
        log_mass: Log density of enumerated sites, with gradient: the weight of a particle in an
            expectation; None without enumeration.
        blocks: Score-function blocks with global latents, where one signal per row will not do.
    """

    log_p: Array
    log_q: Array
    log_prior: Array | None = None
    score: Array | None = None
    log_q_stopped: Array | None = None
    log_mass: Array | None = None
    blocks: tuple[Block, ...] = ()


def weigh(
    terms: Sequence[Term], layout: Layout, ops: Ops, stopped: Sequence[Term] = ()
) -> Weights:
    """Sums terms to weights per row.

    Args:
        terms: Terms of model and guide.
        layout: Where the plates are.
        ops: Array functions.
        stopped: Terms of a second pass through the guide with constant parameters.
    """

    def total(*chosen: Term) -> Array | None:
        parts = [to_rows(t.log_prob, t.plates, layout, ops) for t in chosen]
        return sum(parts[1:], parts[0]) if parts else None

    def drawn(*chosen: Term) -> Array | None:
        parts = [_sum_axes(_drawn(t), layout, ops) for t in chosen]
        return sum(parts[1:], parts[0]) if parts else None

    model = [t for t in terms if t.side == "model"]
    guide = [t for t in terms if t.side == "guide"]
    scored = [t for t in guide if not t.reparameterised and not t.enumerated]
    log_p = total(*model)
    log_q = total(*guide)
    return Weights(
        log_p=log_p,
        log_q=ops.np.zeros_like(log_p) if log_q is None else log_q,
        log_prior=total(*(t for t in model if t.kind == "latent")),
        score=drawn(*scored),
        log_q_stopped=total(*stopped),
        log_mass=drawn(*(t for t in guide if t.enumerated)),
        blocks=() if layout.rows or not scored else _blocks(terms, scored, layout, ops),
    )


def to_rows(value: Array, plates: tuple[str, ...], layout: Layout, ops: Ops) -> Array:
    """Sums over all plates but the rows, each row of which may stand for many data.

    Args:
        value: Log density of a site, ``(K, *plates)`` with all plate axes of the layout.
        plates: Plates of the site.
        layout: Where the plates are.
        ops: Array functions.

    Returns:
        Array ``(K, *rows)``.
    """
    for plate in plates:
        if plate not in layout.rows and not _is_one(layout.scales[plate]):
            value = value * layout.scales[plate]
    return _sum_axes(value, layout, ops)


def _sum_axes(value: Array, layout: Layout, ops: Ops) -> Array:
    """Sums ``(K, *plates)`` over all axes but those of the particles and the rows."""
    kept = {layout.axes[name] for name in layout.rows}
    return ops.sum(value, tuple(a for a in range(1, layout.dims + 1) if a not in kept))


def _drawn(term: Term) -> Array:
    return term.log_prob if term.drawn is None else term.drawn


def _blocks(
    terms: Sequence[Term], scored: Sequence[Term], layout: Layout, ops: Ops
) -> tuple[Block, ...]:
    """Groups score terms by their plates; a draw in a plate answers for its own row only."""
    blocks = []
    for plates in dict.fromkeys(t.plates for t in scored):
        mine = [t for t in scored if t.plates == plates]
        kept = set(plates)
        signal = sum(
            (1 if t.side == "model" else -1) * _spread(t, kept, layout, ops) for t in terms
        )
        score = sum(_drawn(t) for t in mine)
        scale: Array | float = 1.0
        for plate in plates:
            scale = scale * layout.scales[plate]
        blocks.append(Block(signal, score, scale))
    return tuple(blocks)


def _spread(term: Term, kept: set[str], layout: Layout, ops: Ops) -> Array:
    """Sums a term over the plates that are not kept, leaving all axes in place."""
    value = term.log_prob
    for plate in term.plates:
        if plate in kept:
            continue
        if not _is_one(layout.scales[plate]):
            value = value * layout.scales[plate]
        value = ops.np.sum(value, axis=layout.axes[plate], keepdims=True)
    return value


def _is_one(scale: Array | float) -> bool:
    return isinstance(scale, float | int) and scale == 1
