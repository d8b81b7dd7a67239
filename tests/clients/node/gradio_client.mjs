// The `@gradio/client` package with the Gradio endpoint, and the snippet that Gradio prints for it.

import { Client } from "@gradio/client";

import { BEARER, MODEL, main, PROMPTS, URL } from "./cases.mjs";

const API = "/chat_api";
const connect = (headers = BEARER) => Client.connect(URL, { headers, events: ["data", "status"] });
const client = await connect();

// Yield the texts of a job; what Gradio calls an error is thrown.
async function* texts(prompt, job = client.submit(API, { prompt, model: MODEL })) {
  for await (const event of job) {
    if (event.type === "data") yield event.data[0];
    if (event.type === "status" && event.stage === "error") throw event;
  }
}

await main({
  chat: async () => (await client.predict(API, { prompt: PROMPTS.chat, model: MODEL })).data[0],
  short_list: async () => (await client.predict(API, [PROMPTS.chat])).data[0],
  cancel: async () => {
    const job = client.submit(API, { prompt: PROMPTS.cancel, model: MODEL });
    for await (const text of texts("", job)) {
      await job.cancel();
      return text;
    }
  },
  wrong_key: async () => (await connect({ Authorization: "Bearer wrong" })).predict(API, { prompt: PROMPTS.chat }),
  absent_model: () => client.predict(API, { prompt: PROMPTS.chat, model: "absent" }),
  fails_before: () => client.predict(API, { prompt: PROMPTS.fails_before, model: MODEL }),
  fails_midway: async (told) => {
    told.text = "";
    for await (const text of texts(PROMPTS.fails_midway)) told.text = text;
  },
  silence: async () => (await client.predict(API, { prompt: PROMPTS.silence, model: MODEL })).data[0],
  printed_snippet: async () => {
    const info = await (await fetch(`${URL}/gradio_api/info`)).json();
    const printed = info.named_endpoints[API].code_snippets.javascript;
    // What a reader changes: the prompt, and the key, as the endpoint's description says.
    const changed = printed
      .replace(/^import .*$/m, "")
      .replace("Why is the sky blue?", PROMPTS.chat)
      .replace(/Client\.connect\("([^"]+)"\)/, 'Client.connect("$1", { headers: BEARER })')
      .replace(/console\.log\((.*)\);/, "return $1;");
    const AsyncFunction = (async () => {}).constructor;
    return (await new AsyncFunction("Client", "BEARER", changed)(Client, BEARER))[0];
  },
});
