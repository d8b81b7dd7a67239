// OllamaSpace from JavaScript: an answer as it is written, with nothing but fetch, in a browser or in Node.
//
//     OLLAMASPACE_URL=http://localhost:7860 OLLAMASPACE_KEY=… node javascript_fetch.mjs
//
// In a page of another site, the site's origin must be allowed by OLLAMA_ORIGINS (all are by default).

const url = process.env.OLLAMASPACE_URL ?? "http://localhost:7860";
const key = process.env.OLLAMASPACE_KEY;

/** Yield the text of an answer piece by piece; aborting the signal stops the model. */
export async function* ask(prompt, signal) {
  const response = await fetch(`${url}/chat_api`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-API-Key": key },
    body: JSON.stringify({ prompt }),
    signal,
  });
  if (!response.ok) throw new Error((await response.json()).error);
  let rest = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop();
    for (const line of lines.map((text) => JSON.parse(text))) {
      if (line.error) throw new Error(line.error);
      if (line.response) yield line.response;
      if (line.done) return;
    }
  }
  throw new Error("The answer broke off.");
}

const stop = new AbortController();
for await (const text of ask("Who are you?", stop.signal)) process.stdout.write(text);
process.stdout.write("\n");
