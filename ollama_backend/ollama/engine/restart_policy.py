"""When an engine that has ended is restarted, and when it is given up."""

from dataclasses import dataclass


class TooManyDeaths(Exception):
    """The engine has ended `deaths` times in a row."""

    def __init__(self, deaths: int) -> None:
        super().__init__(f"ended {deaths} times in a row")
        self.deaths = deaths


@dataclass(frozen=True)
class RestartPolicy:
    """Limits for restarts; durations are in seconds.

    A child that does not answer for `hang` is restarted. After `deaths` deaths in a row, each within `quick`, the
    engine is given up. The pause before a restart doubles up to `longest_pause`, and is reset to `first_pause` once a
    child has lived for `steady`. `poll` is the interval of health checks.
    """

    hang: float = 30.0
    quick: float = 10.0
    steady: float = 60.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    deaths: int = 5
    poll: float = 5.0


class Restarts:
    """Counts the deaths of one engine."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._quick_deaths = 0
        self._pause = 0.0

    def pause_after(self, lived: float, *, answered: bool) -> float:
        """Return the seconds to wait after a child that lived for `lived` seconds. Raises TooManyDeaths."""
        policy = self._policy
        self._quick_deaths = 0 if answered and lived >= policy.quick else self._quick_deaths + 1
        if self._quick_deaths >= policy.deaths:
            raise TooManyDeaths(self._quick_deaths)
        doubled = 0.0 if lived >= policy.steady else self._pause * 2
        self._pause = min(policy.longest_pause, doubled) or policy.first_pause
        return self._pause
