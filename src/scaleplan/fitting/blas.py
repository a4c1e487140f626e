"""One thread of BLAS: more of them add up in another order, and keep processes waiting that share a machine."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np  # noqa: F401  its BLAS must be loaded to be found

__all__ = ["one_thread"]

_SET_BY_IMPORT = "KMP_DUPLICATE_LIB_OK"
"""What threadpoolctl sets in the environment, for users of Intel's OpenMP: a fit leaves the environment as it was."""


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread, from now to the end of the context.

    The command line starts with one; elsewhere it takes threadpoolctl, which comes with ``scaleplan[parallel]``.
    """
    found = _libraries(with_scipy="scipy.linalg" in sys.modules)
    limits: AbstractContextManager[object] = (
        nullcontext() if found is None else found.limit(limits=1, user_api="blas")
    )
    return limits


@cache
def _libraries(*, with_scipy: bool) -> Any | None:  # noqa: ANN401, ARG001  threadpoolctl is not typed
    """Return the BLAS libraries of this process, or None where nothing finds them.

    SciPy has a second one, which is found once it is loaded: a fit that does not use it need not wait for it.
    """
    if find_spec("threadpoolctl") is None:
        return None
    before = os.environ.get(_SET_BY_IMPORT)
    library = import_module("threadpoolctl")
    if before is None:
        os.environ.pop(_SET_BY_IMPORT, None)
    return library.ThreadpoolController()
