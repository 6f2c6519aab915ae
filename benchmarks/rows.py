"""All rows with contestants, in the order of the table, and the points of the series."""

from __future__ import annotations

from benchmarks import dkf, dlgm, flows, gan, m2, rbm, sbn, scaling, vae

TABLE = (*vae.ROWS, *flows.ROWS, dlgm.ROW, *m2.ROWS, *sbn.ROWS, gan.ROW, rbm.ROW, dkf.ROW)
ROWS = {row.name: row for row in TABLE}
POINTS = {row.name: row for series in scaling.SERIES for row in series.rows}
