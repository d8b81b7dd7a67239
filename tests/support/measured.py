"""What a child process needs in its environment to be measured as the tests are."""

import os


def measured() -> dict[str, str]:
    """Return the variables by which coverage.py measures a child; none where nothing is measured."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}
