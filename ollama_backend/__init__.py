"""A chat page and a key-protected API for models served by Ollama."""

VERSION = "0.2.0"
