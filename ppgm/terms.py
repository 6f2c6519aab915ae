"""Terms of a trace, and their reduction to weights.

A *term* is the log density of one site over K particles, with one axis per plate. `weigh` sums
terms to the rows of a program, so that objectives see arrays of shape ``(K, *rows)`` only.
"""

__all__ = [
    "PLAIN",
    "Ask",
    "Block",
    "Layout",
    "Part",
    "Term",
    "Weights",
    "rescaled",
    "to_rows",
    "weigh",
]

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ppgm.ops import Array, Ops


class Ask(NamedTuple):
    """What draws an objective asks for.

    Attributes:
        particles: Number of draws K.
        enumerate: Finite sites whose draws are replaced by all their values.
        stopped: Sides ("guide", "model") to be scored once more with constant parameters.
        detached: Whether draws are cut: no gradient flows through them, and every site of the
            guide has a score.
        relaxed: Temperature of relaxed draws of bits and one-hot vectors, and whether they are
            rounded (straight-through); None for exact draws.
        logits: Whether the terms of the guide's Bernoulli sites hold their logits.
    """

    particles: int = 1
    enumerate: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    detached: bool = False
    relaxed: tuple[Array | float, bool] | None = None
    logits: bool = False


PLAIN = Ask()
"""One exact draw."""


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
        logits: Logits of a Bernoulli site, ``(K, *plates, *event)``, where they were asked for.
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
    logits: Array | None = None


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


class Part(NamedTuple):
    """What one site adds to the weights.

    Attributes:
        name: The site.
        side: "model" or "guide".
        kind: "latent", "observed", "factor".
        log_prob: Its log density, ``(K, *rows)``.
        score: For a draw that is not reparameterised, the log density that it came from,
            ``(K, *rows)``; else None.
        stopped: Whether it was scored with constant parameters.
        value: Its value, for an observed site.
    """

    name: str
    side: str
    kind: str
    log_prob: Array
    score: Array | None = None
    stopped: bool = False
    value: Array | None = None


class Weights(NamedTuple):
    """Log weights of K particles, each array of shape ``(K, *rows)``.

    Attributes:
        log_p: Log joint density of data and draws.
        log_q: Log density of the draws under the guide.
        score: Log density that the draws which are not reparameterised came from, without any
            scale: a subsampled plate scales their signal. None if every draw is reparameterised.
        log_q_stopped: `log_q` with the guide's parameters held constant, so that only the draws
            carry gradients; None unless asked for.
        log_mass: Log density of enumerated sites, with gradient: the weight of a particle in an
            expectation; None without enumeration.
        blocks: Score-function blocks with global latents, where one signal per row will not do.
        log_p_stopped: `log_p` with the model's parameters held constant; None unless asked for.
        parts: What the sums are made of, site by site.
    """

    log_p: Array
    log_q: Array
    score: Array | None = None
    log_q_stopped: Array | None = None
    log_mass: Array | None = None
    blocks: tuple[Block, ...] = ()
    log_p_stopped: Array | None = None
    parts: tuple[Part, ...] = ()


def weigh(
    terms: Sequence[Term], layout: Layout, ops: Ops, stopped: Sequence[Term] = ()
) -> Weights:
    """Sums terms to weights per row.

    Args:
        terms: Terms of model and guide.
        layout: Where the plates are.
        ops: Array functions.
        stopped: Terms of a second pass, with constant parameters.
    """

    def part(term: Term, *, stopped: bool = False) -> Part:
        value = to_rows(term.log_prob, term.plates, layout, ops)
        scored = term.side == "guide" and not term.reparameterised and not term.enumerated
        score = _sum_axes(_drawn(term), layout, ops) if scored and not stopped else None
        seen = term.value if term.kind == "observed" else None
        return Part(term.name, term.side, term.kind, value, score, stopped, seen)

    parts = (*(part(t) for t in terms), *(part(t, stopped=True) for t in stopped))
    scored = [t for t, p in zip(terms, parts, strict=False) if p.score is not None]
    mass = [_sum_axes(_drawn(t), layout, ops) for t in terms if t.enumerated]
    return _summed(parts, ops)._replace(
        score=_total([p.score for p in parts if p.score is not None]),
        log_mass=_total(mass),
        blocks=() if layout.rows or not scored else _blocks(terms, scored, layout, ops),
    )


def rescaled(
    weights: Weights, factors: Mapping[tuple[str, str], Array | float], ops: Ops
) -> Weights:
    """Returns weights with the log densities of some sites multiplied.

    Args:
        weights: The weights, with their parts.
        factors: A factor by (side, site).
        ops: Array functions.
    """
    if not factors:
        return weights
    parts = tuple(
        p._replace(log_prob=p.log_prob * factors[p.side, p.name])
        if (p.side, p.name) in factors
        else p
        for p in weights.parts
    )
    sums = _summed(parts, ops)
    return sums._replace(score=weights.score, log_mass=weights.log_mass, blocks=weights.blocks)


def _summed(parts: tuple[Part, ...], ops: Ops) -> Weights:
    def total(keep: Callable[[Part], bool]) -> Array | None:
        return _total([p.log_prob for p in parts if keep(p)])

    log_p = total(lambda p: p.side == "model" and not p.stopped)
    log_q = total(lambda p: p.side == "guide" and not p.stopped)
    empty = ops.np.zeros_like(log_p) if log_q is None else None  # a guide that draws nothing
    constant = total(lambda p: p.side == "guide" and p.stopped)
    return Weights(
        log_p=log_p,
        log_q=log_q if empty is None else empty,
        log_q_stopped=constant if empty is None else empty,
        log_p_stopped=total(lambda p: p.side == "model" and p.stopped),
        parts=parts,
    )


def _total(values: Sequence[Array]) -> Array | None:
    return sum(values[1:], values[0]) if values else None


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
