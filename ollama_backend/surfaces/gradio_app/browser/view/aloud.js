// Reads an answer aloud with the voices of this device. Needs a browser.

import { notice, setReading, state } from '../state.js';
import { locale, t } from '../words.js';

export const canRead = () => 'speechSynthesis' in window;

let reader = null;

/** Read a message, or stop if it is being read. @param {import('../tree.js').Message} message */
export async function toggleReading(message) {
  if (state.ui.reading === message.id) {
    stopReading();
    return;
  }
  const [{ Reader }, { sentencesOf }] = await Promise.all([
    import('../speech/reader.js'),
    import('../speech/sentences.js'),
  ]);
  reader ??= new Reader({ synthesis: window.speechSynthesis, Utterance: window.SpeechSynthesisUtterance });
  setReading(message.id);
  const outcome = await reader.read(sentencesOf(message.text, { language: locale(), t }));
  if (state.ui.reading === message.id) setReading('');
  if (outcome === 'noVoice') notice(t('speech.noVoice'));
}

export function stopReading() {
  reader?.stop();
  setReading('');
}
