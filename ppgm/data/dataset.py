"""What a data set is: arrays to fit, arrays held out, and where they come from."""

__all__ = ["Dataset"]

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """A data set, split, ready for `ppgm.fit` and `ppgm.evaluate`.

    Attributes:
        name: The name it was loaded by.
        train: Keyword arguments of a model, ``{"x": (N, D)}``, float32.
        test: The same for the held-out rows.
        shape: The shape of one row before it was flattened, as ``(8, 8)`` for a picture.
        description: One sentence that says how the rows were made.
        source: Where the rows come from.
        train_labels: Integer class of each training row, ``(N,)``, or None. Labels stay out of
            ``train`` since its keys are passed to the model; a model of labels takes
            ``{**data.train, "y": data.train_labels}``.
        test_labels: The same for the held-out rows.
        validation: A third split where the source has one, else None.
        modes: Centres of a mixture's components, ``(M, D)``, or None.
        sigma: Standard deviation around each centre, or None.
        loc: Means that the columns were standardised by, ``(D,)``, or None.
        scale: Standard deviations likewise.
    """

    name: str
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    shape: tuple[int, ...]
    description: str
    source: str
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    validation: dict[str, np.ndarray] | None = None
    modes: np.ndarray | None = None
    sigma: float | None = None
    loc: np.ndarray | None = None
    scale: np.ndarray | None = None
