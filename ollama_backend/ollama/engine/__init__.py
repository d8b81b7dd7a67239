"""Which Ollama runs: chosen, started and kept alive."""
