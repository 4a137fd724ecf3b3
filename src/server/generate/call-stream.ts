/** Reads {"name": …, "arguments": …}, which a grammar forced, as it comes in pieces. */

const HEAD = /^\s*\{\s*"name"\s*:\s*"([A-Za-z0-9_-]+)"\s*,\s*"arguments"\s*:\s*/;

export class CallStream {
  #head = "";
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #isOver = false;
  #isBegun = false;
  name: string | undefined;

  /** The part of the arguments that `text` brings; `name` is known from the first such part on. */
  push(text: string): string {
    if (this.name !== undefined) return this.#arguments(text);
    this.#head += text;
    const match = HEAD.exec(this.#head);
    if (!match) return "";
    this.name = match[1];
    return this.#arguments(this.#head.slice(match[0].length));
  }

  /** `text` up to the brace that closes the arguments: the one after that is the call's. */
  #arguments(text: string): string {
    if (this.#isOver) return "";
    if (!this.#isBegun) text = text.trimStart();
    this.#isBegun ||= text !== "";
    for (let i = 0; i < text.length; i++) {
      this.#read(text.charAt(i));
      if (this.#isOver) return text.slice(0, i + 1);
    }
    return text;
  }

  #read(character: string): void {
    if (this.#inString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (character === "\\") this.#isEscaped = true;
      else if (character === '"') this.#inString = false;
    } else if (character === '"') this.#inString = true;
    else if (character === "{" || character === "[") this.#depth++;
    else if (character === "}" || character === "]") this.#isOver = --this.#depth === 0;
  }
}
