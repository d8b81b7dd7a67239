"""Renders Markdown as safe HTML, whole or while it is being written. Imports neither Gradio nor the app."""
