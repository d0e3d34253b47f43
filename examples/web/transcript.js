/** The text on the page: words that know when they were said. */

/**
 * Spells tokens out as words.
 *
 * @param {{id: number, time: number}[]} tokens With the seconds at which each was found.
 * @param {string[]} pieces The text of each token id, "▁" standing for a space.
 * @returns {{text: string, time: number}[]} Words with the spaces before them.
 */
export function wordsOf(tokens, pieces) {
  let text = "";
  const starts = [];
  for (const { id, time } of tokens) {
    starts.push({ at: text.length, time });
    text += pieces[id].replaceAll("▁", " ");
  }
  return Array.from(text.trim().matchAll(/ *[^ ]+/g), ({ 0: word, index }) => {
    const letter = text.length - text.trimStart().length + index + word.length - word.trim().length;
    return { text: word, time: starts.findLast(({ at }) => at <= letter).time };
  });
}

export class Transcript {
  #element;
  #settled = [];
  #jump;

  /** `jump(seconds)` is called with a word's time when it is chosen. */
  constructor(element, jump) {
    this.#element = element;
    this.#jump = jump;
  }

  clear() {
    this.#settled = [];
    this.#element.replaceChildren();
  }

  get text() {
    return this.#element.textContent.trim();
  }

  /** Shows `words` after those already settled; they may change until `settle` is called. */
  show(words) {
    const fresh = this.#nodes(words);
    for (const node of fresh) node.classList?.add("fresh");
    this.#element.replaceChildren(...this.#settled, ...fresh);
  }

  /** Keeps `words` after those already settled. */
  settle(words) {
    this.#settled.push(...this.#nodes(words));
    this.#element.replaceChildren(...this.#settled);
  }

  /** Marks the word that is being said `time` seconds into the audio. */
  follow(time) {
    const spans = this.#settled.filter((node) => node instanceof HTMLElement);
    const current = spans.findLast((span) => Number(span.dataset.time) <= time);
    for (const span of spans) span.classList.toggle("current", span === current);
  }

  /** A span for each word, with the spaces between them as plain text. */
  #nodes(words) {
    const between = this.#settled.length ? " " : "";
    return words.flatMap(({ text, time }, i) => {
      const word = text.trimStart();
      const spaces = i === 0 ? between : text.slice(0, text.length - word.length);
      return [document.createTextNode(spaces), this.#span(word, time)];
    });
  }

  #span(word, time) {
    const span = document.createElement("span");
    span.textContent = word;
    span.dataset.time = time;
    span.title = `${time.toFixed(1)} s`;
    span.addEventListener("click", () => this.#jump(time));
    return span;
  }
}
