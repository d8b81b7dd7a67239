"""Passes Ollama's API, and its OpenAI- and Anthropic-compatible ones, through behind the key and the line."""
