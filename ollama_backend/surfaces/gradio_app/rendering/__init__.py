"""Markdown of a language model as safe HTML, whole or while it is being written. Knows neither Gradio nor the app."""
