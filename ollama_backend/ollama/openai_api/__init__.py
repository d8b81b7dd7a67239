"""Any server with OpenAI's API as an upstream: Ollama's requests translated into its own, and its answers back."""
