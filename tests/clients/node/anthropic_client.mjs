// The `@anthropic-ai/sdk` package.

import Anthropic from "@anthropic-ai/sdk";

import { ask, KEY, MODEL, main, PERSON, URL, WEATHER, weather } from "./cases.mjs";

const client = new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 0 });
const asked = (name, more = {}) => ({ model: MODEL, max_tokens: 200, messages: ask(name), ...more });
const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
const text = async (name, more) => textOf(await client.messages.create(asked(name, more)));

await main({
  chat: () => text("chat"),
  cancel: () =>
    new Promise((resolve) => {
      const stream = client.messages.stream(asked("cancel"));
      stream.on("text", (piece) => {
        stream.abort();
        resolve(piece);
      });
      stream.done().catch(() => {});
    }),
  tools: async () => {
    const messages = ask("tools");
    const tools = [{ name: "weather", description: "The weather", input_schema: WEATHER }];
    const { content } = await client.messages.create(asked("tools", { messages, tools }));
    messages.push({ role: "assistant", content });
    const calls = content.filter((block) => block.type === "tool_use");
    const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: weather(call.input) }));
    messages.push({ role: "user", content: results });
    return text("tools", { messages, tools });
  },
  structured: async () => {
    const tools = [{ name: "person", description: "A person", input_schema: PERSON }];
    const tool_choice = { type: "tool", name: "person" };
    const message = await client.messages.create(asked("structured_by_tool", { tools, tool_choice }));
    return message.content.find((block) => block.type === "tool_use").input;
  },
  wrong_key: () => new Anthropic({ baseURL: URL, apiKey: "wrong", maxRetries: 0 }).messages.create(asked("chat")),
  absent_model: () => text("chat", { model: "absent" }),
  fails_before: () => text("fails_before"),
  fails_midway: async (told) => {
    told.text = "";
    const stream = client.messages.stream(asked("fails_midway"));
    stream.on("text", (piece) => {
      told.text += piece;
    });
    await stream.finalMessage();
  },
  fails_late: () => text("fails_late"),
  silence: async () => textOf(await client.messages.stream(asked("silence")).finalMessage()),
});
