"""Array functions of torch; see `ppgm.ops.Ops`."""

__all__ = ["OPS", "to_numpy", "to_tensor"]

from collections.abc import Callable
from typing import Any

import array_api_compat.torch
import numpy as np
import torch
from torch import Tensor

from ppgm.host_pyro_chains import tanh_chain
from ppgm.host_pyro_packing import Chosen
from ppgm.ops import Ops, loop


def to_tensor(value: Any) -> Any:
    """Returns arrays as tensors, floats in torch's default type; other values unchanged."""
    if isinstance(value, Tensor):
        return value.to(torch.get_default_dtype()) if value.is_floating_point() else value
    if not isinstance(value, np.ndarray | np.generic) and not hasattr(value, "__array__"):
        return value
    # a copy: torch shares memory with numpy, and a read-only array would only warn
    return to_tensor(torch.from_numpy(np.array(value)))


def to_numpy(value: Any) -> np.ndarray:
    """Returns a copy of a tensor as a numpy array."""
    return value.detach().cpu().numpy().copy() if isinstance(value, Tensor) else np.array(value)


def _sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.sum(axes) if axes else x  # torch sums over everything when given no axis


def _grad(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        inputs = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(fn(inputs).sum(), inputs, create_graph=True)[0]


def _float(x: Any) -> Tensor:
    # `as_tensor` would lose the provenance that Pyro follows from site to site
    dtype = torch.get_default_dtype()
    return x.to(dtype) if isinstance(x, Tensor) else torch.as_tensor(x, dtype=dtype)


OPS = Ops(
    np=array_api_compat.torch,
    logsumexp=torch.logsumexp,
    log_softmax=torch.log_softmax,
    softmax=torch.softmax,
    # torch turns linear above 20 by default, 2e-9 away
    softplus=lambda x: torch.nn.functional.softplus(x, threshold=40.0),
    sigmoid=torch.sigmoid,
    one_hot=lambda index, size: torch.nn.functional.one_hot(index.long(), size).to(
        torch.get_default_dtype()
    ),
    stop_gradient=torch.Tensor.detach,
    sum=_sum,
    float=_float,
    grad=_grad,
    scan=loop(torch.stack),
    tanh_chain=tanh_chain,
    chosen=Chosen,
)
