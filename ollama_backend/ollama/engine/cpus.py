"""How many CPUs this process may use, where it sees more than that."""

import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def allowed(environment: Mapping[str, str], cgroup: Path = CGROUP, seen: int | None = None) -> int | None:
    """Return how many may be used, or None where all that are seen may be.

    A container may be given two processors of a machine with sixty-four and still see them all. `CPU_CORES` is set
    on a Space (huggingface.co/docs/hub/spaces-overview).
    """
    seen = seen or os.cpu_count() or 1
    limits = [seen, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else seen]
    if (cores := environment.get("CPU_CORES", "")).isdigit():
        limits.append(int(cores))
    if quota := _quota(cgroup):
        limits.append(round(quota))
    least = max(1, min(limits))
    return least if least < seen else None


def _quota(cgroup: Path) -> float | None:
    """Return the quota of this control group in processors; both versions of control groups are known."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None
