"""A small Ollama for machines without one: a program that speaks Ollama's protocol over llama.cpp.

It imports nothing else of this project and nothing imports it. The app starts it as a child process,
`python -m ollama_backend.embedded --model NAME=FILE`, and it runs each model in a child process of its own.
"""
