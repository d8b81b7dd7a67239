"""OpenAI's Responses API as Ollama speaks it, `/v1/responses`, without state between requests."""

import random
import time
from typing import Any

from ollama_backend.embedded import bodies, native
from ollama_backend.embedded.answers import Question
from ollama_backend.embedded.bodies import Shape
from ollama_backend.embedded.faults import Malformed
from ollama_backend.embedded.openai import check_model, content_text, effort, options, reply
from ollama_backend.embedded.replies import Reply
from ollama_backend.embedded.service import Service

Body = dict[str, Any]
FIELDS = {"model": "string", "stream": "bool", "instructions": "string", "max_output_tokens": "int"}
REQUEST = Shape("ResponsesRequest", FIELDS | {"temperature": "float64", "top_p": "float64"}, package="openai")


def _messages(body: Body) -> list[Body]:
    given = body.get("input", "")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Malformed("input must be a string or array")
    system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    spoken = [item for item in items if item.get("type", "message") == "message"]
    return system + [{"role": item.get("role", ""), "content": content_text(item.get("content"))[0]} for item in spoken]


def _question(service: Service, raw: bytes) -> tuple[Body, Question]:
    body = bodies.read(raw, REQUEST)
    if body.get("stream"):
        raise Malformed("the embedded engine does not stream /v1/responses: use /v1/chat/completions")
    check_model(service, body)
    longest = {"max_tokens": body["max_output_tokens"]} if "max_output_tokens" in body else {}
    ours = {"options": options(body | longest), "think": effort(body), "tools": body.get("tools")}
    return body, service.question(ours, _messages(body))


def _output(number: int, said: Body) -> list[Body]:
    items: list[Body] = []
    if thinking := said.get("thinking"):
        summary = [{"type": "summary_text", "text": thinking}]
        thought = {"id": f"rs_resp_{number}", "type": "reasoning", "summary": summary}
        items.append(thought | {"encrypted_content": thinking})
    text = {"type": "output_text", "text": said["content"], "annotations": [], "logprobs": []}
    message = {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
    return [*items, message]


def _usage(line: Body) -> Body:
    read, written = line.get("prompt_eval_count", 0), line.get("eval_count", 0)
    counts = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return counts | {
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _settings(body: Body) -> Body:
    """Repeat what was asked, as this API does, with its own defaults."""
    told = {"previous_response_id": None, "instructions": body.get("instructions"), "error": None}
    told |= {"tools": body.get("tools", []), "tool_choice": "auto", "truncation": "disabled"}
    told |= {"parallel_tool_calls": True, "text": {"format": {"type": "text"}}, "reasoning": body.get("reasoning")}
    told |= {"presence_penalty": 0, "frequency_penalty": 0, "top_logprobs": 0, "incomplete_details": None}
    told |= {"top_p": body.get("top_p", 1), "temperature": body.get("temperature", 1)}
    told |= {"max_output_tokens": body.get("max_output_tokens"), "max_tool_calls": None, "store": False}
    told |= {"background": False, "service_tier": "default", "metadata": {}}
    return told | {"safety_identifier": None, "prompt_cache_key": None}


async def create(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/responses`."""
    body, question = _question(service, raw)
    begun = int(time.time())
    line = await native.total(service, body, question, native.chat_words)
    number = random.randrange(10**6)  # noqa: S311 - it names an answer, it protects nothing
    made = {"id": f"resp_{number}", "object": "response", "created_at": begun, "completed_at": int(time.time())}
    made |= {"status": "completed", "model": body["model"], "output": _output(number, line["message"])}
    return reply(made | {"usage": _usage(line)} | _settings(body))
