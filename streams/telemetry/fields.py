"""How a record of the kernels is stated: a class whose fields have their types for mypy and for numpy."""

from __future__ import annotations

from typing import Annotated, get_type_hints

import numpy as np

Long = Annotated[int, "<i8"]
Int = Annotated[int, "<i4"]
Short = Annotated[int, "<i2"]
Byte = Annotated[int, "i1"]
Double = Annotated[float, "<f8"]
Float = Annotated[float, "<f4"]


def dtype_of(record: type) -> np.dtype[np.void]:
    """No padding must arise between fields: its bytes would differ between equal records."""
    hints = get_type_hints(record, include_extras=True)
    return np.dtype([(name, *hint.__metadata__) for name, hint in hints.items()], align=True)
