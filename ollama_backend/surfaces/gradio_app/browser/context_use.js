// Whether a prompt fitted into the context of its model.

/** By how much an estimate of tokens may be wrong. */
const DOUBT = 1.3;

/**
 * Whether Ollama has left out the beginning of a prompt: it was longer than the context, and fewer tokens were read.
 *
 * @param {{estimated: number, read: number | undefined, context: number | undefined}} prompt in tokens
 */
export const wasCut = ({ estimated, read, context }) =>
  !!read && !!context && read <= context && estimated > DOUBT * context && estimated > DOUBT * read;

/** The share of the context that a conversation fills after an answer, 0 where that is not known. */
export function shareUsed({ stats = {}, context }) {
  const used = (stats.prompt_tokens ?? 0) + (stats.tokens ?? 0);
  return context && stats.prompt_tokens ? used / context : 0;
}
