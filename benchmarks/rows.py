"""All rows with contestants, in the order of the table."""

from __future__ import annotations

from benchmarks import gan, rbm, sbn, vae

ROWS = {row.name: row for row in (*vae.ROWS, sbn.ROW, gan.ROW, rbm.ROW)}
