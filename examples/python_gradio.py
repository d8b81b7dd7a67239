"""OllamaSpace with gradio_client, as any Gradio app is asked.

pip install gradio_client
OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… python python_gradio.py
"""

import os

from gradio_client import Client

client = Client(
    os.environ.get("OLLAMASPACE_URL", "http://localhost:7860"),
    headers={"Authorization": f"Bearer {os.environ['OLLAMASPACE_KEY']}"},
    verbose=False,
)

print("whole:", client.predict("Who are you?", api_name="/chat_api"))

job = client.submit("Who are you?", api_name="/chat_api")
for text in job:  # the text so far; job.cancel() stops the model
    print("so far:", text)
