"""All rows with contestants, in the order of the table."""

from __future__ import annotations

from benchmarks import dkf, dlgm, gan, m2, rbm, sbn, vae

TABLE = (*vae.ROWS, dlgm.ROW, *m2.ROWS, *sbn.ROWS, gan.ROW, rbm.ROW, dkf.ROW)
ROWS = {row.name: row for row in TABLE}
