// The Vercel AI SDK, `ai`, with its provider for OpenAI-compatible servers.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { KEY, MODEL, main, PROMPTS, URL, weather } from "./cases.mjs";

const provider = (apiKey) =>
  createOpenAICompatible({ name: "space", baseURL: `${URL}/v1`, apiKey, supportsStructuredOutputs: true });
const asked = (name, more = {}) => ({ model: provider(KEY)(MODEL), prompt: PROMPTS[name], maxRetries: 0, ...more });
const text = async (name, more) => (await generateText(asked(name, more))).text;
const quiet = { onError: () => {} };

await main({
  chat: () => text("chat"),
  cancel: async () => {
    const aborting = new AbortController();
    const { textStream } = streamText(asked("cancel", { abortSignal: aborting.signal, ...quiet }));
    for await (const piece of textStream) {
      aborting.abort();
      return piece;
    }
  },
  tools: () =>
    text("tools", {
      tools: { weather: tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute: weather }) },
      stopWhen: stepCountIs(3),
    }),
  structured: async () => {
    const schema = z.object({ name: z.string(), age: z.number().int() });
    return (await generateText(asked("structured", { output: Output.object({ schema }) }))).output;
  },
  wrong_key: () => text("chat", { model: provider("wrong")(MODEL) }),
  absent_model: () => text("chat", { model: provider(KEY)("absent") }),
  fails_before: () => text("fails_before"),
  fails_midway: async (told) => {
    told.text = "";
    for await (const part of streamText(asked("fails_midway", quiet)).fullStream) {
      if (part.type === "text-delta") told.text += part.text;
      if (part.type === "error") throw part.error;
    }
  },
  fails_late: () => text("fails_late"),
  silence: async () => await streamText(asked("silence", quiet)).text,
});
