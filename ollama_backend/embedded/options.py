"""Ollama's options: check them as it does, and say them as llama.cpp understands them."""

from typing import Any

from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.gguf import Gguf
from ollama_backend.embedded.sizing import Plan

INTEGERS = {"num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu"}
INTEGERS |= {"num_thread", "draft_num_predict"}
FLOATS = ("top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty")
SAME_IN_LLAMA = (*FLOATS, "top_k", "repeat_last_n", "stop")
DEFAULTS = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_last_n": 64, "repeat_penalty": 1.0}
# What a GGUF file may recommend for itself.
RECOMMENDED = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
RECOMMENDED |= {"penalty_repeat": "repeat_penalty", "penalty_last_n": "repeat_last_n"}
LONGEST_ANSWER_IN_CONTEXTS = 10


def defaults(gguf: Gguf, plan: Plan) -> dict[str, Any]:
    """Return the options of a request that names none.

    A tiny model knows one right answer to a question, so it is asked without chance.
    """
    own = {name: gguf.metadata.get(f"general.sampling.{key}") for key, name in RECOMMENDED.items()}
    chosen = DEFAULTS | ({"temperature": 0.0} if plan.tiny else {})
    return chosen | {name: value for name, value in own.items() if isinstance(value, int | float)}


def _checked(name: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in INTEGERS:
        if not number:
            raise Fault(500, f'option "{name}" must be of type integer')
        return int(value)
    if name in FLOATS and not number:
        raise Fault(500, f'option "{name}" must be of type float32')
    if name == "stop" and not isinstance(value, list):
        raise Fault(500, f'option "{name}" must be of type array')
    if name == "stop" and not all(isinstance(item, str) for item in value):
        raise Fault(500, f'option "{name}" must be of an array of strings')
    if name == "use_mmap" and not isinstance(value, bool):
        raise Fault(500, f'option "{name}" must be of type boolean')
    return value


def for_llama(options: dict[str, Any], own: dict[str, Any], context: int) -> dict[str, Any]:
    """Translate a request's options; those that nobody knows, and those of the loading of a model, do nothing.

    Raises Fault with Ollama's words for a value of the wrong type (api/types.go, Options.FromMap).
    """
    given = {name: _checked(name, value) for name, value in options.items() if value is not None}
    asked = own | given
    body = {name: asked[name] for name in SAME_IN_LLAMA if name in asked}
    longest = LONGEST_ANSWER_IN_CONTEXTS * context
    wanted = asked.get("num_predict", -1)
    body["max_tokens"] = longest if wanted < 0 else min(wanted, longest)
    if given.get("seed", -1) >= 0:
        body["seed"] = given["seed"] % 2**32
    return body
