"""Ollama's own API and its OpenAI- and Anthropic-compatible ones, passed through behind the key and the line."""
