// The `ollama` package.

import { Ollama } from "ollama";

import { ask, BEARER, MODEL, main, PERSON, URL, WEATHER, weather } from "./cases.mjs";

const client = new Ollama({ host: URL, headers: BEARER });
const chat = async (name, more = {}) =>
  (await client.chat({ model: MODEL, messages: ask(name), ...more })).message.content;

async function* pieces(name) {
  for await (const part of await client.chat({ model: MODEL, messages: ask(name), stream: true })) {
    if (part.message.content) yield part.message.content;
  }
}

await main({
  chat: () => chat("chat"),
  cancel: async () => {
    const stream = await client.chat({ model: MODEL, messages: ask("cancel"), stream: true });
    for await (const part of stream) {
      if (!part.message.content) continue;
      stream.abort();
      return part.message.content;
    }
  },
  tools: async () => {
    const messages = ask("tools");
    const tools = [{ type: "function", function: { name: "weather", description: "The weather", parameters: WEATHER } }];
    const { message } = await client.chat({ model: MODEL, messages, tools });
    messages.push(message);
    for (const call of message.tool_calls) {
      messages.push({ role: "tool", tool_name: "weather", content: weather(call.function.arguments) });
    }
    return (await client.chat({ model: MODEL, messages, tools })).message.content;
  },
  structured: () => chat("structured", { format: PERSON }),
  wrong_key: () =>
    new Ollama({ host: URL, headers: { Authorization: "Bearer wrong" } }).chat({ model: MODEL, messages: ask("chat") }),
  absent_model: () => chat("chat", { model: "absent" }),
  fails_before: () => chat("fails_before"),
  fails_midway: async (told) => {
    told.text = "";
    for await (const piece of pieces("fails_midway")) told.text += piece;
  },
  fails_late: () => chat("fails_late"),
  silence: async () => {
    let text = "";
    for await (const piece of pieces("silence")) text += piece;
    return text;
  },
});
