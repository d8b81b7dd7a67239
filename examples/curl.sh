#!/bin/sh
# OllamaSpace with curl: its own route, then Ollama's, OpenAI's and Anthropic's.
#
#     OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… sh curl.sh [MODEL]
set -eu
url=${OLLAMASPACE_URL:-http://localhost:7860}
key="Authorization: Bearer $OLLAMASPACE_KEY"
model=${1:-guide}
asks="\"model\": \"$model\", \"messages\": [{\"role\": \"user\", \"content\": \"Who are you?\"}]"

echo '# Is it there? No key needed.'
curl -fsS "$url/health"

printf '\n\n# One prompt in, lines out as they are written\n'
curl -fsSN "$url/chat_api" -H "$key" -d '{"prompt": "Who are you?"}'

printf '\n# The models, as Ollama lists them\n'
curl -fsS "$url/api/tags" -H "$key"

printf '\n\n# A chat, as Ollama has it\n'
curl -fsSN "$url/api/chat" -H "$key" -d "{$asks}"

printf '\n# The same as one object, and within a number of tokens\n'
curl -fsS "$url/api/chat" -H "$key" -d "{$asks, \"stream\": false, \"options\": {\"num_predict\": 20}}"

printf '\n\n# The same as OpenAI has it, streamed\n'
curl -fsSN "$url/v1/chat/completions" -H "$key" -d "{$asks, \"stream\": true}"

printf '\n# The same as Anthropic has it; the key goes in the header of their clients\n'
curl -fsS "$url/v1/messages" -H "X-API-Key: $OLLAMASPACE_KEY" -d "{$asks, \"max_tokens\": 50}"
