"""Everything that depends on Gradio: the page, the endpoint and the queue."""
