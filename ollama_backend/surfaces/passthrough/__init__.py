"""Ollama's own API and its OpenAI- and Anthropic-compatible ones, passed through behind the key and the line."""

from ollama_backend.surfaces.passthrough.app import PassThrough
from ollama_backend.surfaces.passthrough.response import Patience

__all__ = ["PassThrough", "Patience"]
