"""When an engine that ended is started again, and when it is given up."""

from dataclasses import dataclass


class TooManyDeaths(Exception):
    """The engine has ended too often in a row; `deaths` is how often."""

    def __init__(self, deaths: int) -> None:
        super().__init__(f"ended {deaths} times in a row")
        self.deaths = deaths


@dataclass(frozen=True)
class RestartPolicy:
    """How long a child may be silent, and how often it is started again; durations in seconds.

    A death within `quick` counts, and `deaths` of them in a row are too many. The pause before the next start doubles
    up to `longest_pause`; it is `first_pause` again once a child has lived for `steady`.
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
        """Return the seconds to wait after a child that lived so long. Raises TooManyDeaths."""
        policy = self._policy
        self._quick_deaths = 0 if answered and lived >= policy.quick else self._quick_deaths + 1
        if self._quick_deaths >= policy.deaths:
            raise TooManyDeaths(self._quick_deaths)
        doubled = 0.0 if lived >= policy.steady else self._pause * 2
        self._pause = min(policy.longest_pause, doubled) or policy.first_pause
        return self._pause
