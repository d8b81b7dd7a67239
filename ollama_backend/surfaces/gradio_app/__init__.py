"""Everything that knows Gradio: the page, the endpoint, the queue."""
