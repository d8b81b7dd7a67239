"""OllamaSpace with Ollama's own Python client, changed in URL and key only.

    pip install ollama
    OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… python python_ollama.py [MODEL]

A program that makes no client of its own needs no change at all: set OLLAMA_HOST to the URL and OLLAMA_API_KEY to the
key, and the client sends both.
"""

import os
import sys

from ollama import Client

MODEL = sys.argv[1] if len(sys.argv) > 1 else "guide"
client = Client(
    host=os.environ.get("OLLAMASPACE_URL", "http://localhost:7860"),
    headers={"Authorization": f"Bearer {os.environ['OLLAMASPACE_KEY']}"},
)

print("models:", *[model.model for model in client.list().models])

messages = [{"role": "user", "content": "Who are you?"}]
for chunk in client.chat(MODEL, messages, stream=True):
    print(chunk.message.thinking or chunk.message.content or "", end="", flush=True)
print()

whole = client.chat(MODEL, messages, think=False, options={"temperature": 0, "num_predict": 50})
print(whole.message.content, f"({whole.eval_count} tokens)")
