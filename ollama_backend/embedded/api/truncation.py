"""Make a conversation that is too long fit into the context."""

from ollama_backend.embedded.request_json import Body

CUT_MARK = "\n"


def _starts_turn(item: Body) -> bool:
    """Tell whether a message opens a turn: a person's words, not the result of a tool."""
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    is_result = any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)
    return item.get("role") == "user" and not is_result


def _is_instruction(item: Body) -> bool:
    return item.get("role") in ("system", "developer")


def _characters(items: list[Body]) -> int:
    return sum(len(str(item)) for item in items)


def drop_turns(items: list[Body], size: int, room: int) -> bool:
    """Drop the oldest turns, each with its answer, of a conversation of `size` tokens; tell whether there were any.

    Instructions and the last turn stay. As much goes as is surely too much; what is still too long comes back.
    """
    starts = [place for place, item in enumerate(items) if _starts_turn(item)]
    if not starts:
        return False
    keep_from, excess = starts[-1], 0.8 * _characters(items) * (size - room) / size
    dropped = 0
    for place in (*starts, keep_from):
        old = [item for item in items[:place] if not _is_instruction(item)]
        if (dropped := len(old)) and _characters(old) >= excess:
            keep_from = place
            break
    items[:keep_from] = [item for item in items[:keep_from] if _is_instruction(item)]
    return dropped > 0


def without_middle(text: str, size: int, room: int) -> str:
    """Keep the two ends of a text of `size` tokens, to fill about half of the room; nothing when too little is left."""
    keep = min(len(text) - 1, len(text) * room // (2 * size)) // 2
    return text[:keep] + CUT_MARK + text[-keep:] if keep > 0 else ""


def cut_longest(items: list[Body], size: int, room: int) -> bool:
    """Cut the middle out of the longest text of a conversation; tell whether anything is left of it."""
    texts = [item for item in items if isinstance(item.get("content"), str)]
    if not texts:
        return False
    longest = max(texts, key=lambda item: len(item["content"]))
    longest["content"] = without_middle(longest["content"], size, room)
    return bool(longest["content"])
