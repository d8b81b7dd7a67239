"""Shortening conversations and prompts that exceed the context."""

from collections.abc import Iterator

from ollama_backend.embedded.api.required_call import has_tool_result
from ollama_backend.embedded.request_json import Body


def shorten(body: Body, size: int, room: int) -> bool:
    """Drop the oldest turns, or else the middle of the longest text; return whether something could be dropped.

    `size` is the prompt's length and `room` the context's, in tokens.
    """
    items = body.get("messages", body.get("input"))
    if isinstance(items, list) and _drop_turns(items, size, room):
        return True
    holder, key = max(_texts(body), key=lambda text: len(text[0][text[1]]), default=({"": ""}, ""))
    holder[key] = _without_middle(holder[key], size, room)
    return bool(holder[key])


def _texts(body: Body) -> Iterator[tuple[Body, str]]:
    """Yield the texts of a prompt or a conversation, each as an object and the key of the text in it."""
    for key in ("prompt", "input"):
        if isinstance(body.get(key), str):
            yield body, key
    items = body.get("messages", body.get("input"))
    for item in items if isinstance(items, list) else ():
        if isinstance(content := item.get("content"), str):
            yield item, "content"
        for part in content if isinstance(content, list) else ():
            if isinstance(part.get("text"), str):
                yield part, "text"


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
