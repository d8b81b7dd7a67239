"""OllamaSpace with Anthropic's Python client, changed in URL and key only.

pip install anthropic
OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… python python_anthropic.py [MODEL]
"""

import os
import sys

from anthropic import Anthropic

MODEL = sys.argv[1] if len(sys.argv) > 1 else "guide"
client = Anthropic(
    base_url=os.environ.get("OLLAMASPACE_URL", "http://localhost:7860"),
    api_key=os.environ["OLLAMASPACE_KEY"],
)

with client.messages.stream(
    model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Who are you?"}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
