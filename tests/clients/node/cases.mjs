// What every program here does: it runs its cases in order and prints what came out as one JSON object.

export const URL = process.env.SPACE_URL;
export const KEY = process.env.SPACE_KEY;
export const BEARER = { Authorization: `Bearer ${KEY}` };
export const PROMPTS = JSON.parse(process.env.PROMPTS);
export const MODEL = process.env.SPACE_MODEL ?? "guide";
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};
export const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
};
export const ask = (name) => [{ role: "user", content: PROMPTS[name] }];
export const weather = ({ city }) => PROMPTS.tool_result.replace("CITY", city);

// The class, the status and the words of an exception, as the program would show them.
function described(error) {
  const status = error.status ?? error.status_code ?? error.statusCode ?? null;
  const words = [error.message ?? error.title ?? String(error), error.responseBody ?? "", error.cause?.message ?? ""];
  return { error: { kind: error.constructor?.name ?? typeof error, status, words: words.join(" ").trim() } };
}

// A case may write into its argument what it got before an exception.
export async function main(cases) {
  const outcomes = {};
  for (const [name, run] of Object.entries(cases)) {
    const began = performance.now();
    const told = {};
    try {
      told.value = (await run(told)) ?? null;
    } catch (error) {
      Object.assign(told, described(error));
    }
    outcomes[name] = { ...told, seconds: Math.round((performance.now() - began) / 10) / 100 };
  }
  console.log(JSON.stringify(outcomes));
  process.exit(0);
}
