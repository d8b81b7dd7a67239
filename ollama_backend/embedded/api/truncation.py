"""Shortening conversations and prompts that exceed the context."""

from ollama_backend.embedded.api.required_call import has_tool_result
from ollama_backend.embedded.request_json import Body


def shorten(body: Body, size: int, room: int) -> bool:
    """Drop the oldest turns, or else the middle of the longest text; return whether something could be dropped.

    `size` is the prompt's length and `room` the context's, in tokens.
    """
    if isinstance(prompt := body.get("prompt"), str):
        body["prompt"] = _without_middle(prompt, size, room)
        return bool(body["prompt"])
    items = body.get("messages", body.get("input"))
    if not isinstance(items, list) or _drop_turns(items, size, room):
        return isinstance(items, list)
    texts = [item for item in items if isinstance(item.get("content"), str)]
    longest = max(texts, key=lambda item: len(item["content"]), default={"content": ""})
    longest["content"] = _without_middle(longest["content"], size, room)
    return bool(longest["content"])


def _starts_turn(item: Body) -> bool:
    """Return whether a message begins a turn: it is from the user, and not the result of a tool."""
    return item.get("role") == "user" and not has_tool_result([item])


def _drop_turns(items: list[Body], size: int, room: int) -> bool:
    """Drop the oldest turns with their answers; keep system messages and the last turn.

    Characters only estimate tokens, so one call drops 80 % of the excess. If the prompt is still too long, llama.cpp
    rejects it and `shorten` is called again.
    """
    starts = [place for place, item in enumerate(items) if _starts_turn(item)]
    excess = 0.8 * (size - room) / size * sum(len(str(item)) for item in items)
    for place in starts:
        old = [item for item in items[:place] if item.get("role") != "system"]
        if old and (place == starts[-1] or sum(len(str(item)) for item in old) >= excess):
            items[:place] = [item for item in items[:place] if item.get("role") == "system"]
            return True
    return False


def _without_middle(text: str, size: int, room: int) -> str:
    """Keep the start and the end of a text, together about half of the room; return "" when too little is left."""
    keep = min(len(text) - 1, len(text) * room // (2 * size)) // 2
    return text[:keep] + "\n" + text[-keep:] if keep > 0 else ""
