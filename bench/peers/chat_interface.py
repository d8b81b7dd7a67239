"""A plain gr.ChatInterface in front of Ollama: `python -m bench.peers.chat_interface PORT SOURCE_PORT MESSAGES`."""

import sys
from collections.abc import AsyncGenerator
from typing import Any

import gradio as gr
import ollama

PORT, SOURCE, MESSAGES = map(int, sys.argv[1:])
client = ollama.AsyncClient(f"http://127.0.0.1:{SOURCE}")
earlier = [
    {"role": "assistant" if n % 2 else "user", "content": "a message of the conversation"} for n in range(MESSAGES)
]


async def chat(message: str, history: list[dict[str, Any]]) -> AsyncGenerator[str, None]:
    messages = [{"role": "user", "content": message}]
    text = ""
    async for part in await client.chat("guide", messages, stream=True):
        text += part.message.content or ""
        yield text


gr.ChatInterface(chat, chatbot=gr.Chatbot(value=earlier), concurrency_limit=None).launch(
    server_name="127.0.0.1", server_port=PORT, quiet=True
)
