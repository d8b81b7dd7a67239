"""`python -m tests.support.replica_app [--skew SECONDS] [--page]`: the program as one of several replicas.

With `--skew` the wall clock of this process is wrong by so much.
"""

import argparse
import sys
import time


def main() -> int:
    """Run the app as app.py does; it is imported after the clock was changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    if given.skew:
        right_time, right_time_ns = time.time, time.time_ns
        time.time = lambda: right_time() + given.skew
        time.time_ns = lambda: right_time_ns() + int(given.skew * 1e9)
    import app

    return app.main(page=given.page)


if __name__ == "__main__":
    sys.exit(main())
