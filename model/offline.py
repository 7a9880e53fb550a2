"""`HEF_OFFLINE`: with it set, nothing in this package reaches for the network, whatever a setting says.

Owns the variable and the refusal. Each way out of the machine asks here first.
"""

from __future__ import annotations

import os

from model.errors import ModelUnavailable

VARIABLE = "HEF_OFFLINE"


def stays_offline() -> bool:
    """Whether the user forbade every connection; ``0`` and an empty value do not."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def refuse_offline(what: str) -> None:
    """Raises ModelUnavailable for `what` if nothing may be fetched."""
    if stays_offline():
        raise ModelUnavailable(f"{what} would be fetched, but {VARIABLE} is set; unset it and try again")
