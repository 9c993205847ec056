"""A default dtype that is one thread's own. diffusers and transformers set the process's while they build a model, and
whatever another thread computes meanwhile, a visitor's run, gets numbers of that dtype in between."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MAKERS = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.normal, torch.eye, torch.tensor)
    + (torch.arange, torch.linspace, torch.logspace, torch.empty_strided)
)


class _Default(TorchFunctionMode):
    """Gives new tensors of this thread the dtype that it was told last."""

    def __init__(self) -> None:
        super().__init__()
        self.stock = self.dtype = torch.get_default_dtype()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        plain = func in MAKERS and kwargs.get("dtype") is None and kwargs.get("out") is None
        return made.to(self.dtype) if plain and made.dtype == self.stock else made


@contextlib.contextmanager
def confined() -> Iterator[None]:
    """While it lasts, `torch.set_default_dtype` in this thread is felt in this thread only. Only one thread at a time
    may be inside; what is computed from integers alone, such as their quotient, keeps the process's dtype."""
    owner, told, asked = threading.get_ident(), torch.set_default_dtype, torch.get_default_dtype

    def set_default_dtype(dtype: torch.dtype) -> None:
        if threading.get_ident() != owner:
            told(dtype)
        else:
            default.dtype = dtype

    def get_default_dtype() -> torch.dtype:
        return default.dtype if threading.get_ident() == owner else asked()

    with _Default() as default:
        torch.set_default_dtype, torch.get_default_dtype = set_default_dtype, get_default_dtype
        try:
            yield
        finally:
            torch.set_default_dtype, torch.get_default_dtype = told, asked
