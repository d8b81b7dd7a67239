"""What is answered instead of an answer."""


class Fault(Exception):
    """A request that cannot be served, with its HTTP status and Ollama's own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Malformed(Fault):
    """A body that cannot be read; the OpenAI shapes frame it differently from what fails later."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(status, words)
