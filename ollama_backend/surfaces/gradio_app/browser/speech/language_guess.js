// The language of a text, by its script and its commonest words: good enough to choose a voice.

/** Scripts that only few languages use, the first that has most of the letters decides. */
const SCRIPTS = /** @type {[RegExp, (text: string) => string][]} */ ([
  [/[\p{Script=Hiragana}\p{Script=Katakana}]/gu, () => 'ja'],
  [/\p{Script=Han}/gu, () => 'zh'],
  [/\p{Script=Hangul}/gu, () => 'ko'],
  [/\p{Script=Arabic}/gu, (text) => (/[پچژگ]/.test(text) ? 'fa' : 'ar')],
  [/\p{Script=Devanagari}/gu, () => 'hi'],
  [/\p{Script=Cyrillic}/gu, (text) => (/[іїєґ]/i.test(text) ? 'uk' : 'ru')],
  [/\p{Script=Hebrew}/gu, () => 'he'],
  [/\p{Script=Greek}/gu, () => 'el'],
  [/\p{Script=Thai}/gu, () => 'th'],
]);

const COMMON = Object.entries({
  en: 'the and of to is in that it for you with are this not be have from or can',
  de: 'der die das und ist nicht ein eine zu mit den von auf für sich auch werden wird sie ich',
  fr: 'le la les et des est une dans que pour qui pas sur avec vous nous ce cette sont du',
  es: 'el la los las que y en un una es por con para del se no como más su está',
  pt: 'o a os as que e em um uma é por com para não se do da como mais você são',
  it: 'il lo la gli che di è un una per con non sono del della si come anche più nel',
  nl: 'de het een en van is niet dat op te zijn voor met die aan ook er maar je wordt',
  pl: 'i w nie na się że jest do to z jak co ale za od są przez po tym lub',
  sv: 'och att det som en är på för med av den till inte om ett har jag de kan från',
  tr: 've bir bu için ile da de çok olarak daha gibi ne en var olan sonra kadar ama her ya',
}).map(([language, words]) => ({ language, words: new Set(words.split(' ')) }));

const ENOUGH = 40; // letters: fewer say too little
const SAMPLE = 5000;

/**
 * @param {string} text
 * @param {string} otherwise
 * @returns {string} a language without its region, or `otherwise` as it is
 */
export function languageOf(text, otherwise) {
  const sample = text.slice(0, SAMPLE);
  const letters = sample.match(/\p{L}/gu)?.length ?? 0;
  if (!letters) return otherwise;
  for (const [script, language] of SCRIPTS) {
    const share = (sample.match(script)?.length ?? 0) / letters;
    // Japanese is written with Chinese characters, too: some kana are enough.
    if (share > (language('') === 'ja' ? 0.1 : 0.5)) return language(sample);
  }
  return letters < ENOUGH ? otherwise : byWords(sample, otherwise);
}

/** @param {string} sample @param {string} otherwise */
function byWords(sample, otherwise) {
  const words = sample.toLowerCase().match(/\p{L}+/gu) ?? [];
  const scores = COMMON.map(({ language, words: common }) => ({
    language,
    score: words.filter((word) => common.has(word)).length,
  })).sort((a, b) => b.score - a.score);
  const [best, second] = scores;
  const isClear = best.score > words.length * 0.1 && best.score > second.score * 1.2;
  return isClear ? best.language : otherwise;
}
