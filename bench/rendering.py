"""What it costs to render answers, whole and while they are written.

    python -m bench.rendering [ROUNDS]

Prints microseconds of processor time for each kilobyte of source, the best of some rounds.
"""

import sys
import time
from collections.abc import Callable

from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from ollama_backend.surfaces.gradio_app.rendering.stream_renderer import StreamRenderer

# Characters of a token, on average.
DELTA = 4

PROSE = (
    "A **language model** predicts the next *token* of a text, given the ones before it. It has read "
    "more than anyone could in a lifetime, and knows [where to look](https://example.org/a?b=c) for `names`.\n\n"
)
CODE = (
    "```python\ndef mean(values: list[float]) -> float:\n"
    '    """Return the mean."""\n    # Of none it is not defined.\n'
    '    if not values:\n        raise ValueError("no values")\n    return sum(values) / len(values)\n```\n\n'
)
FORMULAS = (
    "The roots of $ax^2 + bx + c = 0$ are\n\n\\[\nx_{1,2} = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}\n\\]\n\n"
    "where \\(a \\neq 0\\), for $5 and $10 alike.\n\n"
)
TABLE = "| model | size | speed |\n|:--|--:|:-:|\n| small | 1 GB | fast<br>enough |\n| large | 40 GB | slow |\n\n"
LIST = "1. First **this**\n2. then `that`\n   - [x] done\n   - [ ] open\n\n"
ARABIC = "مرحبا بالعالم، هذا **نص** فيه `code` و English.\n\n"

TEXTS = {
    "prose": PROSE * 20,
    "code": CODE * 16,
    "formulas": FORMULAS * 24,
    "mixed": (PROSE * 2 + LIST + TABLE + CODE + FORMULAS + ARABIC) * 4,
    "prose, 200 kB": PROSE * 950,
    "one fence of 200 kB": "```python\n" + CODE.replace("```", "") * 760 + "```\n",
    "one list of 200 kB": "- an item with **strong** words and `code` in a line of its own\n" * 3100,
}


def streamed(text: str) -> None:
    """Render a text token by token."""
    renderer = StreamRenderer()
    for start in range(0, len(text), DELTA):
        renderer.feed(text[start : start + DELTA])
    renderer.finish()


def best(act: Callable[[str], object], text: str, rounds: int) -> float:
    """Return the microseconds of processor time that a kilobyte takes in the best round."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        act(text)
        times.append(time.process_time() - began)
    return min(times) * 1e6 / (len(text.encode()) / 1000)


def main() -> None:
    """Render every text, whole and streamed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'µs per kB':22}{'source':>8} {'whole':>8} {'streamed, 4 characters a delta':>32}")
    for name, text in TEXTS.items():
        some = rounds if len(text) < 100_000 else 1
        whole, stream = best(render, text, some), best(streamed, text, some)
        print(f"{name:22}{len(text.encode()) / 1000:5.0f} kB {whole:8.0f} {stream:32.0f}")


if __name__ == "__main__":
    main()
