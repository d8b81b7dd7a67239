"""Make a conversation or a prompt that is too long fit into the context."""

from typing import Any

from ollama_backend.embedded.request_json import Body


def shorten(body: Body, size: int, room: int) -> bool:
    """Drop a request's oldest turns, else the middle of its longest text; return whether there was anything to drop."""
    if isinstance(prompt := body.get("prompt"), str):
        body["prompt"] = _without_middle(prompt, size, room)
        return bool(body["prompt"])
    items = body.get("messages", body.get("input"))
    return isinstance(items, list) and (_drop_turns(items, size, room) or _cut_longest(items, size, room))


def _starts_turn(item: Body) -> bool:
    """Return whether a message opens a turn: a person's words, not the result of a tool."""
    content: Any = item.get("content")
    parts = content if isinstance(content, list) else []
    return item.get("role") == "user" and not any(part.get("type") == "tool_result" for part in parts)


def _drop_turns(items: list[Body], size: int, room: int) -> bool:
    """Drop turns with their answers, but for instructions and the last turn.

    As much goes as is surely too much; what is still too long comes back.
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
    """Keep the two ends of a text, to fill about half of the room; nothing when too little is left."""
    keep = min(len(text) - 1, len(text) * room // (2 * size)) // 2
    return text[:keep] + "\n" + text[-keep:] if keep > 0 else ""


def _cut_longest(items: list[Body], size: int, room: int) -> bool:
    texts = [item for item in items if isinstance(item.get("content"), str)]
    longest = max(texts, key=lambda item: len(item["content"]), default={"content": ""})
    longest["content"] = _without_middle(longest["content"], size, room)
    return bool(longest["content"])
