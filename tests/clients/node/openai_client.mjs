// The `openai` package.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { ask, KEY, MODEL, main, PROMPTS, URL, WEATHER, weather } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0 });
const create = (name, more = {}) => client.chat.completions.create({ model: MODEL, messages: ask(name), ...more });
const text = async (name, more) => (await create(name, more)).choices[0].message.content;

async function* pieces(name) {
  for await (const chunk of await create(name, { stream: true })) {
    const content = chunk.choices[0]?.delta.content;
    if (content) yield content;
  }
}

await main({
  chat: () => text("chat"),
  cancel: async () => {
    const stream = await create("cancel", { stream: true });
    for await (const chunk of stream) {
      if (!chunk.choices[0].delta.content) continue;
      stream.controller.abort();
      return chunk.choices[0].delta.content;
    }
  },
  tools: async () => {
    const messages = ask("tools");
    const tools = [{ type: "function", function: { name: "weather", parameters: WEATHER } }];
    const { message } = (await create("tools", { messages, tools })).choices[0];
    messages.push(message);
    for (const call of message.tool_calls) {
      const content = weather(JSON.parse(call.function.arguments));
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
    return text("tools", { messages, tools });
  },
  structured: async () => {
    const person = z.object({ name: z.string(), age: z.number().int() });
    const response_format = zodResponseFormat(person, "person");
    const parsed = await client.chat.completions.parse({ model: MODEL, messages: ask("structured"), response_format });
    return parsed.choices[0].message.parsed;
  },
  wrong_key: () =>
    new OpenAI({ baseURL: `${URL}/v1`, apiKey: "wrong", maxRetries: 0 }).chat.completions.create({
      model: MODEL,
      messages: ask("chat"),
    }),
  absent_model: () => text("chat", { model: "absent" }),
  fails_before: () => text("fails_before"),
  fails_midway: async (told) => {
    told.text = "";
    for await (const piece of pieces("fails_midway")) told.text += piece;
  },
  fails_late: () => text("fails_late"),
  silence: async () => {
    let whole = "";
    for await (const piece of pieces("silence")) whole += piece;
    return whole;
  },
  silent_response: async () => {
    const stream = client.responses.stream({ model: MODEL, input: PROMPTS.silence });
    return (await stream.finalResponse()).output_text;
  },
});
