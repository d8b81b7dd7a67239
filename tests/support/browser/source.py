"""Answers whose every word can be counted."""

from tests.support.fake_ollama import FakeOllama


def tell(ollama: FakeOllama, prompt: str, words: int, *, seconds: float, think: int | None = None) -> "Source":
    """Have a prompt answered by so many words in so many seconds, a fifth of them thought."""
    thought = words // 5 if think is None else think
    source = Source(prompt, [f"t{i}" for i in range(thought)], [f"c{i}" for i in range(words - thought)])
    ollama.script(
        match=prompt,
        thinking=[f"{word} " for word in source.thinking],
        content=[f"{word} " for word in source.content],
        token_delay=seconds / words,
    )
    return source


class Source:
    """What Ollama sends for one prompt."""

    def __init__(self, prompt: str, thinking: list[str], content: list[str]) -> None:
        self.prompt = prompt
        self.thinking = thinking
        self.content = content

    def generation_count(self, ollama: FakeOllama) -> int:
        """How often Ollama was asked this."""
        return sum(generation.ask.text.endswith(self.prompt) for generation in ollama.generations)
