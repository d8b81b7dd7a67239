// Programs that ask this server: exact code for curl, Python and JavaScript. tests/surfaces/test_snippets.py runs them.

/** Stands for the key until people ask to see it. */
export const KEY_PLACEHOLDER = 'YOUR_KEY';

const QUESTION = 'Why is the sky blue?';

/**
 * @typedef {object} Snippet
 * @property {string} id
 * @property {string} name of the language or library, the same in every language of the page
 * @property {'bash' | 'python' | 'javascript'} syntax
 * @property {string} install a command that is needed first, or empty
 * @property {string} code
 *
 * @typedef {object} Server
 * @property {string} url address of the page, with its path prefix
 * @property {string} model
 * @property {string} key the key, or KEY_PLACEHOLDER
 * @property {string} [question]
 */

/** Text within single quotes of a shell. @param {string} text */
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * A text of Python or JavaScript: JSON is one in both, with what it leaves as it is escaped.
 *
 * @param {string} text
 */
const quoted = (text) =>
  JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** @param {string} url */
const base = (url) => url.replace(/[?#].*$/, '').replace(/\/+$/, '');

/**
 * All snippets, in the order in which they are offered.
 *
 * @param {Server} server
 * @returns {Snippet[]}
 */
export function snippets({ url, model, key, question = QUESTION }) {
  const server = { url: base(url), model, key, question };
  return [
    { id: 'curl', name: 'curl', syntax: 'bash', install: '', code: curl(server) },
    {
      id: 'ollama',
      name: 'Python, ollama',
      syntax: 'python',
      install: 'pip install ollama',
      code: pythonOllama(server),
    },
    {
      id: 'openai',
      name: 'Python, openai',
      syntax: 'python',
      install: 'pip install openai',
      code: pythonOpenai(server),
    },
    {
      id: 'gradio',
      name: 'Python, gradio_client',
      syntax: 'python',
      install: 'pip install gradio_client',
      code: pythonGradio(server),
    },
    { id: 'javascript', name: 'JavaScript', syntax: 'javascript', install: '', code: javascript(server) },
  ];
}

/** @param {Required<Server>} server */
const curl = ({ url, model, key, question }) => `curl ${shell(`${url}/chat_api`)} \\
  -H ${shell(`Authorization: Bearer ${key}`)} \\
  -d ${shell(JSON.stringify({ prompt: question, model, stream: false }))}
`;

/** @param {Required<Server>} server */
const pythonOllama = ({ url, model, key, question }) => `from ollama import Client

client = Client(host=${quoted(url)}, headers={"Authorization": ${quoted(`Bearer ${key}`)}})
stream = client.chat(${quoted(model)}, messages=[{"role": "user", "content": ${quoted(question)}}], stream=True)
for chunk in stream:
    print(chunk.message.content or "", end="", flush=True)
print()
`;

/** @param {Required<Server>} server */
const pythonOpenai = ({ url, model, key, question }) => `from openai import OpenAI

client = OpenAI(base_url=${quoted(`${url}/v1`)}, api_key=${quoted(key)})
stream = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": ${quoted(question)}}],
    stream=True,
)
for event in stream:
    print(event.choices[0].delta.content or "", end="", flush=True)
print()
`;

/** @param {Required<Server>} server */
const pythonGradio = ({ url, model, key, question }) => `from gradio_client import Client

client = Client(${quoted(url)}, headers={"Authorization": ${quoted(`Bearer ${key}`)}})
print(client.predict(${quoted(question)}, model=${quoted(model)}, api_name="/chat_api"))
`;

/** @param {Required<Server>} server */
const javascript = ({ url, model, key, question }) => `const response = await fetch(${quoted(`${url}/chat_api`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-API-Key": ${quoted(key)} },
  body: JSON.stringify({ prompt: ${quoted(question)}, model: ${quoted(model)} }),
});
if (!response.ok) throw new Error((await response.json()).error);

const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
let rest = "";
let answer = "";
for (let part = await reader.read(); !part.done; part = await reader.read()) {
  const lines = (rest + part.value).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    const chunk = JSON.parse(line);
    if (chunk.error) throw new Error(chunk.error);
    answer += chunk.response; // the text so far
  }
}
console.log(answer);
`;
