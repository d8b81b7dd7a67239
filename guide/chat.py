"""How a conversation becomes text: ChatML with Qwen3's switch for thinking."""

from __future__ import annotations

from collections.abc import Sequence

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")

# The guide reads the system message, one earlier turn and the question, each cut to a length that it was trained on:
# a longer conversation would only confuse a model of this size.
LONGEST = 400
LONGEST_OTHER = 120
TEMPLATE = """{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if message.role == 'system' %}
        {{- '<|im_start|>system\\n' + content[:120] + '<|im_end|>\\n' }}
    {%- elif loop.revindex <= 3 %}
        {%- set content = content[:400] if message.role == 'user' else content[:120] %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


def turn(role: str, content: str) -> str:
    """One message as the template writes it."""
    longest = LONGEST if role == "user" else LONGEST_OTHER
    return f"<|im_start|>{role}\n{content[:longest]}<|im_end|>\n"


def prompt(messages: Sequence[tuple[str, str]], think: bool) -> str:
    """What the model reads: (role, content) pairs as the template renders them."""
    switch = "" if think else "<think>\n\n</think>\n\n"
    return "".join(turn(role, content) for role, content in messages) + "<|im_start|>assistant\n" + switch


def completion(answer: str, thought: str | None) -> str:
    """What the model is to write."""
    thinking = "" if thought is None else f"<think>\n{thought}\n</think>\n\n"
    return f"{thinking}{answer}<|im_end|>"
