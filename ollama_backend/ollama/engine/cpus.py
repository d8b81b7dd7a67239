"""The number of CPUs that this process may use, if it is lower than the number it sees."""

import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def allowed(environment: Mapping[str, str], cgroup: Path = CGROUP, seen: int | None = None) -> int | None:
    """Return the number of CPUs that may be used, or None if there is no limit.

    A container limited to 2 CPUs of a machine with 64 still sees 64. Hugging Face sets `CPU_CORES` on a Space
    (huggingface.co/docs/hub/spaces-overview).
    """
    seen = seen or os.cpu_count() or 1
    # macOS has no affinity.
    limits = [seen, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else seen]
    if (cores := environment.get("CPU_CORES", "")).isdigit():
        limits.append(int(cores))
    if quota := _quota(cgroup):
        limits.append(round(quota))
    least = max(1, min(limits))
    return least if least < seen else None


def spinning_threads(environment: Mapping[str, str]) -> int:
    """Return how many threads llama.cpp should start if they wait for each other in a loop, as in Ollama's runner.

    Without a choice it starts one for each CPU that it sees. Where more run than are allowed, or another program takes
    one of the CPUs, they lose most of their time waiting: of 58 tokens/s with two threads one or two were left beside
    a busy program, and all of 33 tokens/s with one (docs/embedded.md). So one CPU stays free where no limit applies.
    """
    return allowed(environment) or max(1, (os.cpu_count() or 1) - 1)


def _quota(cgroup: Path) -> float | None:
    """Return the CPU quota of this control group (version 1 or 2), in CPUs."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None
