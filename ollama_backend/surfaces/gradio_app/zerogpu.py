"""The requirements of a Space on ZeroGPU: a function for the GPU, and a report that there is one.

Only imported where the package `spaces` is installed. The model runs on the CPU, so the function is a formality and
uses none of a visitor's GPU quota.
"""

import logging
import os

import spaces
from spaces import zero

log = logging.getLogger(__name__)


@spaces.GPU  # type: ignore[untyped-decorator, unused-ignore]
def visible_gpus() -> str:
    """Return the GPU that is visible in this call."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def report() -> None:
    """Send the report that `Blocks.launch` would send (spaces, zero/__init__.py); this page is mounted instead."""
    try:
        zero.startup()
    except Exception:
        log.exception("reporting the startup to ZeroGPU failed; the Space may be stopped")
