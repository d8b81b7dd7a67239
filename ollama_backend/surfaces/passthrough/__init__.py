"""Ollama's own API and its OpenAI- and Anthropic-compatible ones, passed through behind the key and the line."""

from .corridor import PassThrough
from .reply import Patience

__all__ = ["PassThrough", "Patience"]
