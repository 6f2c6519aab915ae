"""The IDX format of the MNIST family, read strictly.

A file is two zero bytes, a type code, the number of dimensions, one big-endian unsigned
32-bit size per dimension, and then exactly that many big-endian values; it may be
compressed with gzip.

References:
    | THE MNIST DATABASE of handwritten digits (LeCun, Cortes & Burges, 1998)
    | http://yann.lecun.com/exdb/mnist/
"""

__all__ = ["read_idx"]

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ppgm.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path | str) -> np.ndarray:
    """Returns the array in an IDX file, plain or gzipped, in native byte order.

    Raises:
        DataError: The file is not IDX, or is shorter or longer than its header says.
    """
    content = _uncompressed(Path(path))
    dtype, shape, start = _header(content, path)

    expected = prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise DataError(
            f"{path} is damaged: its header announces {expected} bytes of values "
            f"(shape {shape}) and {len(content) - start} follow; fetch the file again"
        )

    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _uncompressed(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is damaged: it starts as a gzip file and cannot be unpacked "
            f"({error}); fetch the file again"
        ) from error


def _header(content: bytes, path: Path | str) -> tuple[np.dtype, tuple[int, ...], int]:
    """Returns the type of the values, the shape, and where the values start."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise DataError(
            f"{path} is no IDX file: it should start with 00 00, a type code and the number "
            f"of dimensions, and starts with '{content[:4].hex(' ')}'"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(
            f"{path} is damaged: it ends inside its header of {start} bytes; fetch the file again"
        )
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    return np.dtype(TYPES[content[2]]), shape, start
