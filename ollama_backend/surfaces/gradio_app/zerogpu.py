"""What a Space on ZeroGPU requires of an app: a function for the GPU, and a report that there is one.

Imported only there, where the package `spaces` is. The model runs on the CPU: the function is a formality, and no
visitor's quota is spent.
"""

import logging
import os

import spaces
from spaces import zero

log = logging.getLogger(__name__)


@spaces.GPU  # type: ignore[untyped-decorator, unused-ignore]
def visible_gpus() -> str:
    """Return the GPU that this call was given."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def report() -> None:
    """Send the report that `Blocks.launch` would send (spaces, zero/__init__.py); this page is mounted instead."""
    try:
        zero.startup()
    except Exception:
        log.exception("The start could not be reported to ZeroGPU; the Space may be stopped")
