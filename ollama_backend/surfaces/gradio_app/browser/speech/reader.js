// Reads sentences aloud with the voices of this device. A voice that would send the text elsewhere is never used.
// Needs a browser: `speechSynthesis` and `SpeechSynthesisUtterance` are given.

/**
 * The voice for a language: of this device only, of the region where there is one, the default of the device first.
 *
 * @template {{lang: string, localService: boolean, default: boolean}} V
 * @param {V[]} voices
 * @param {string} locale
 * @returns {V | null}
 */
export function voiceFor(voices, locale) {
  const nameOf = (/** @type {string} */ name) => name.toLowerCase().replace('_', '-');
  const wanted = nameOf(locale);
  const base = wanted.split('-')[0];
  const own = voices.filter((voice) => voice.localService && nameOf(voice.lang).split('-')[0] === base);
  const rank = (/** @type {V} */ voice) => (nameOf(voice.lang) === wanted ? 2 : 0) + (voice.default ? 1 : 0);
  return own.sort((a, b) => rank(b) - rank(a))[0] ?? null;
}

/**
 * @typedef {import('./sentences.js').Sentence} Sentence
 * @typedef {object} Speech what of the browser is needed
 * @property {Pick<SpeechSynthesis, 'speak' | 'cancel' | 'getVoices' | 'addEventListener'>} synthesis
 * @property {new (text: string) => SpeechSynthesisUtterance} Utterance
 */

/** One thing is read at a time; a new one, or `stop`, ends what is being read. */
export class Reader {
  #speech;
  #turn = 0;

  /** @param {Speech} speech */
  constructor(speech) {
    this.#speech = speech;
  }

  /**
   * Read sentences one after the other. Sentences without a voice for their language are left out.
   *
   * @param {Sentence[]} sentences
   * @param {(at: number) => void} [reached] called with the place of each sentence as it begins
   * @returns {Promise<'read' | 'stopped' | 'noVoice'>}
   */
  async read(sentences, reached) {
    this.stop();
    const turn = this.#turn;
    const voices = await this.#voices();
    let spoken = 0;
    for (const [at, { text, language }] of sentences.entries()) {
      if (turn !== this.#turn) return 'stopped';
      const voice = voiceFor(voices, language);
      if (!voice) continue;
      reached?.(at);
      if (!(await this.#speak(text, voice)) || turn !== this.#turn) return 'stopped';
      spoken++;
    }
    return spoken ? 'read' : 'noVoice';
  }

  stop() {
    this.#turn++;
    this.#speech.synthesis.cancel();
  }

  /** @param {string} text @param {SpeechSynthesisVoice} voice @returns {Promise<boolean>} */
  #speak(text, voice) {
    const utterance = new this.#speech.Utterance(text);
    utterance.voice = voice;
    utterance.lang = voice.lang;
    return new Promise((resolve) => {
      utterance.addEventListener('end', () => resolve(true));
      utterance.addEventListener('error', () => resolve(false));
      this.#speech.synthesis.speak(utterance);
    });
  }

  /** Browsers load their voices late; a device may have none. @returns {Promise<SpeechSynthesisVoice[]>} */
  async #voices() {
    const { synthesis } = this.#speech;
    const voices = synthesis.getVoices();
    if (voices.length) return voices;
    await new Promise((resolve) => {
      synthesis.addEventListener('voiceschanged', resolve, { once: true });
      setTimeout(resolve, 1000);
    });
    return synthesis.getVoices();
  }
}
