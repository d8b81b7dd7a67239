"""OllamaSpace with OpenAI's Python client, changed in URL and key only.

pip install openai
OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… python python_openai.py [MODEL]
"""

import os
import sys

from openai import OpenAI

MODEL = sys.argv[1] if len(sys.argv) > 1 else "guide"
client = OpenAI(
    base_url=os.environ.get("OLLAMASPACE_URL", "http://localhost:7860") + "/v1",
    api_key=os.environ["OLLAMASPACE_KEY"],
)

print("models:", *[model.id for model in client.models.list()])

stream = client.chat.completions.create(
    model=MODEL, messages=[{"role": "user", "content": "Who are you?"}], max_tokens=50, stream=True
)
for event in stream:
    print(event.choices[0].delta.content or "", end="", flush=True)
print()

response = client.responses.create(model=MODEL, input="Who are you?")
print(response.output_text)
