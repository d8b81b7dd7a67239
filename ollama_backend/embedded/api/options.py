"""Ollama's options: check them, and translate them for llama.cpp."""

from typing import Any

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body

INTEGERS = {"num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu"}
INTEGERS |= {"num_thread", "draft_num_predict"}
FLOATS = {"top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"}
SAME_IN_LLAMA = FLOATS | {"top_k", "repeat_last_n", "stop"}


def _checked(name: str, value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in INTEGERS and is_number:
        return int(value)
    if name in INTEGERS or (name in FLOATS and not is_number):
        raise RequestError(400, f'option "{name}" must be of type {"integer" if name in INTEGERS else "float32"}')
    if name == "stop" and isinstance(value, str):
        return [value]
    if name == "stop" and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise RequestError(400, 'option "stop" must be a text or a list of texts')
    return value


def for_llama(options: Body) -> Body:
    """Translate a request's options; those that nobody knows, and those of the loading of a model, do nothing.

    `max_tokens` is absent where the request sets no limit. Raises RequestError for a value of the wrong type.
    """
    given = {name: _checked(name, value) for name, value in options.items() if value is not None}
    body = {name: value for name, value in given.items() if name in SAME_IN_LLAMA}
    if given.get("num_predict", -1) >= 0:
        body["max_tokens"] = given["num_predict"]
    if given.get("seed", -1) >= 0:
        body["seed"] = given["seed"] % 2**32
    return body
