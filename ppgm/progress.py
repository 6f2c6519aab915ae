"""The progress bar of training."""

__all__ = ["Bar"]

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm


class Bar:
    """A bar of epochs with the running bound; silent outside a terminal unless asked for.

    Args:
        total: Number of epochs to come.
        show: Whether to show it; None for in a terminal only.
    """

    def __init__(self, total: int, *, show: bool | None) -> None:
        hidden = not (sys.stderr.isatty() if show is None else show)
        self._bar = tqdm(total=total, disable=hidden, unit="epoch", leave=False)

    def update(self, metrics: dict[str, float]) -> None:
        """Shows an epoch's bound, or its losses where there is no bound."""
        shown = {k: f"{v:.4g}" for k, v in metrics.items() if k in ("bound", "validation")}
        shown = shown or {k: f"{v:.4g}" for k, v in metrics.items() if k.endswith(".loss")}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def write(self, text: str) -> None:
        """Writes a line beside the bar."""
        tqdm.write(text, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
