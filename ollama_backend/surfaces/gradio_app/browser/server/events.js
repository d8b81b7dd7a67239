// Server-sent events, as far as Gradio's queue uses them: one line of data an event.

/**
 * The JSON values of an event stream.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} onData called with every piece that arrives
 * @yields {any}
 */
export async function* eventsOf(body, onData = () => {}) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onData();
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data:')) yield JSON.parse(line.slice(5));
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * The value that a generator has yielded. Gradio sends the first one whole and later ones as a difference, which is a
 * replacement, as no two updates begin alike. Undefined where there is none.
 *
 * @param {any} message of Gradio's queue
 */
export function yieldedValue(message) {
  const [value] = message.output?.data ?? [];
  const text = Array.isArray(value) ? value.at(-1)?.[2] : value;
  return typeof text === 'string' ? JSON.parse(text) : undefined;
}
