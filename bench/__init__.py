"""The numbers, side by side: each program measures the app against a stand-in for Ollama on this machine."""
