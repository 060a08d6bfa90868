"""Values of an annotation column as text, the same wherever they are read or asked for."""

import numpy as np


def as_text(value: object) -> str:
    """Return a value as text, whole numbers without decimals: 1.0 is "1"; bytes are decoded."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
