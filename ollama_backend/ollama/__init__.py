"""Ollama: its client, the engine that runs it, and its readiness."""
