r"""Training with some labels: a bound, and a classification loss on the rows that have one.

.. math::
    J^\alpha = \sum_n J(x_n, y_n) + \alpha \sum_{n \text{ labelled}} -\log q(y_n | x_n)

The guide ignores its own q(y | x) where the label is known, so that without the second term a
label would teach the model but not the classifier.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed & Welling,
    | 2014), equation 9, https://arxiv.org/abs/1406.5298
"""

__all__ = ["Classification", "SemiSupervised", "classification_rows"]

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_number
from ppgm.errors import ArgumentError, DataError, EstimatorError
from ppgm.host import load
from ppgm.inference.elbo import ELBO
from ppgm.inference.objective import AbstractObjective, Player, Sum
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.views import View

SUFFIX = "_logits"
"""A guide names the logits of q(y | x), before labels are put in, "y_logits"."""


@dataclass(frozen=True)
class Classification(AbstractObjective):
    r"""Cross-entropy of the guide's classes, :math:`-\log q(y_n | x_n)` on rows with a label.

    Rows whose label is none of the classes 0, 1, ... add nothing. The loss is logged as
    "classification", per row of the data (with a label or without), so that the mean over the
    batches of an epoch is that of the data.

    Args:
        on: The site of the classes, and the name of their labels in the data. The guide has its
            logits as a deterministic site of that name followed by "_logits".
    """

    on: str = "y"

    @property
    def players(self) -> tuple[Player, ...]:
        """The guide."""
        return (Player("program", ("guide",)),)

    @property
    def local(self) -> bool:
        """Whether it needs to know what draws can influence: the classes must not hang on some."""
        return True

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the guide has the classes, by row, and their logits."""
        known = {s.name: s for s in table.select("guide", "latent")}
        site, name = known.get(self.on), self.on + SUFFIX
        if site is None or not site.enumerable or site.event_shape:
            raise EstimatorError(
                f"Classification(on='{self.on}') needs a categorical site '{self.on}' in the "
                f"guide, which draws {_listed(known.values())}"
            )
        if not table.rows or site.plates != table.rows:
            raise EstimatorError(
                f"site '{self.on}' lies in plates {site.plates} and the program's rows are "
                f"{table.rows}: Classification needs one class per row"
            )
        for other in known.values():
            if other.reparameterised or other.name == self.on:
                continue
            if ("guide", self.on) in (table.influences or {}).get(other.name, ()):
                raise EstimatorError(
                    f"site '{other.name}' ({other.distribution}) is drawn before '{self.on}', and "
                    "its draw has no gradient: the classification loss would not reach what it "
                    f"depends on; make the classes a function of the data, or '{other.name}' "
                    "reparameterised"
                )
        named = {s.name: s for s in table.select("guide", "deterministic")}
        if name not in named:
            raise EstimatorError(
                f"the guide does not name the logits of '{self.on}': add ppl.deterministic("
                f"'{name}', logits), before labels are put in; its deterministic sites are "
                f"{sorted(named)}"
            )
        shape = named[name].batch_shape + named[name].event_shape
        if shape != (*site.batch_shape, site.enumerable):
            raise EstimatorError(
                f"site '{name}' of the guide has shape {shape}: expected the {site.enumerable} "
                f"logits of '{self.on}' for each row, {(*site.batch_shape, site.enumerable)}"
            )
        if table.data is not None:
            _check_labels(self.on, table.data)

    def __call__(self, view: View, player: str) -> Array:
        """Returns the cross-entropy per datum."""
        _check_labels(self.on, [n for n, value in view.data.items() if value is not None])
        rows = classification_rows(_logits(view, self.on + SUFFIX), view.data[self.on])
        loss = view.mean(rows)
        view.record("classification", loss)
        return loss


@dataclass(frozen=True)
class SemiSupervised(AbstractObjective):
    """A bound plus `weight` times the classification loss of the rows that have a label.

    What is logged as the bound is that of `base`; the loss of the classes is logged, without its
    weight, as "classification" (see `Classification`). The paper's weight is 0.1 N times the mean
    over the labelled rows: of N rows, M with a label, that is ``weight=0.1 * N / M``.

    Args:
        base: The bound. The default sums over all classes of rows without a label; with sampled
            classes, ``ELBO()``, gradients are by score functions.
        on: The site of the classes, and the name of their labels in the data.
        weight: Weight of a labelled row's classification loss.
    """

    base: AbstractObjective = ELBO(enumerate=("y",))
    on: str = "y"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.base, AbstractObjective):
            raise ArgumentError(f"base must be an objective, such as ELBO(), not {self.base!r}")
        check_number(self, "weight", least=0.0)

    @property
    def terms(self) -> Sum:
        """The same as a sum of objectives."""
        return self.base + self.weight * Classification(self.on)

    @property
    def players(self) -> tuple[Player, ...]:
        """Those of the bound."""
        return self.terms.players

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks both terms."""
        self.terms.check(table, subsampled)

    def nets(self, table: SiteTable) -> Mapping[str, Any]:
        """Returns the networks of the bound."""
        return self.terms.nets(table)

    def start(self, view: View) -> dict[str, Array]:
        """Returns the state of the bound."""
        return self.terms.start(view)

    @property
    def stateful(self) -> bool:
        """Whether the bound owns networks or state."""
        return self.terms.stateful

    @property
    def scheduled(self) -> bool:
        """Whether the bound follows the step."""
        return self.terms.scheduled

    @property
    def local(self) -> bool:
        """Whether the bound needs to know what each draw can influence."""
        return self.terms.local

    @property
    def bias(self) -> str:
        """That of the bound's gradient."""
        return self.terms.bias

    def native(self, host: str) -> Any:
        """Returns this objective as a drop-in ``loss`` for the host's own ``SVI``."""
        return load(host).native(self.terms)

    def __call__(self, view: View, player: str) -> Array:
        """Returns the loss of the bound plus the weighted one of the classes."""
        return self.terms(view, player)


def classification_rows(logits: Array, labels: Array) -> Array:
    """Returns minus the log probability of each row's label, 0 where it is no class.

    Args:
        logits: Logits of the classes, ``(*rows, C)``.
        labels: Labels, ``(*rows)``.
    """
    ops = ops_of(logits)
    at_label = ops.float(labels[..., None] == ops.np.arange(logits.shape[-1]))
    return -(at_label * ops.log_softmax(logits, -1)).sum(-1)


def _check_labels(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise DataError(
            f"the data have no labels '{name}': give data['{name}'], with the marker of a missing "
            "label where there is none"
        )


def _logits(view: View, name: str) -> Array:
    """Returns the guide's logits, from one more run of it: draws do not reach them."""
    return view.forward("guide").values[name]


def _listed(sites: Any) -> str:
    return ", ".join(f"'{s.name}' ({s.distribution})" for s in sites) or "nothing"
