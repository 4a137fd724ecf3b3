/** Finds tool calls in an output that may be text, calls, or text and calls. */

import { limits } from "../../limits.ts";
import {
  heldBack,
  mayBeBareCall,
  mayBeLeading,
  parseCall,
  type ParsedCall,
} from "./call-marker.ts";
import { CALL_CLOSE, CALL_OPEN } from "./tools-prompt.ts";

export type Detected =
  | { readonly type: "text"; readonly text: string }
  /** `source`: the text that the call was. */
  | { readonly type: "call"; readonly call: ParsedCall; readonly source: string }
  /** White space around calls, which is no content. */
  | { readonly type: "space"; readonly source: string };

export class ToolDetector {
  readonly #names: ReadonlySet<string>;
  /** Text of which it is not yet known what it is. */
  #held = "";
  /** Characters of it in which no call ends. */
  #searched = 0;
  #state: "start" | "text" | "call" | "after" = "start";

  constructor(names: ReadonlySet<string>) {
    this.#names = names;
  }

  push(text: string): Detected[] {
    this.#held += text;
    const found: Detected[] = [];
    for (let more = true; more;) more = this.#step(found);
    if (this.#held.length > limits.toolCallCharacters) found.push(this.#giveUp());
    return found;
  }

  #giveUp(): Detected {
    const text = this.#held;
    this.#held = "";
    this.#searched = 0;
    this.#state = "text";
    return { type: "text", text };
  }

  /** What the rest is, once no more text will come. */
  flush(): Detected[] {
    const source = this.#held;
    this.#held = "";
    if (source === "") return [];
    const open = this.#state === "call" ? source.indexOf(CALL_OPEN) + CALL_OPEN.length : 0;
    const call = this.#state === "text" ? undefined : parseCall(source.slice(open), this.#names);
    if (call) return [{ type: "call", call, source }];
    if (this.#state === "after" && source.trim() === "") return [{ type: "space", source }];
    return [{ type: "text", text: source }];
  }

  /** Decides about the beginning of what is held; false when that takes more text. */
  #step(found: Detected[]): boolean {
    if (this.#state === "call") return this.#call(found);
    if (this.#state === "start" || this.#state === "after") {
      if (mayBeLeading(this.#held)) {
        if (!this.#held.endsWith(CALL_OPEN)) return false;
      } else if (this.#state === "start" && mayBeBareCall(this.#held, this.#names)) return false;
    }
    const at = this.#held.indexOf(CALL_OPEN);
    const end = at >= 0 ? at : this.#held.length - heldBack(this.#held, CALL_OPEN);
    const before = this.#held.slice(0, end);
    this.#held = this.#held.slice(end);
    if (before !== "") {
      const isSpace = at >= 0 && this.#state !== "text" && before.trim() === "";
      found.push(isSpace ? { type: "space", source: before } : { type: "text", text: before });
      if (!isSpace) this.#state = "text";
    }
    if (at < 0) return false;
    this.#state = "call";
    return true;
  }

  #call(found: Detected[]): boolean {
    const end = this.#held.indexOf(CALL_CLOSE, this.#searched);
    this.#searched = end < 0 ? Math.max(0, this.#held.length - CALL_CLOSE.length) : 0;
    if (end < 0) return false;
    const source = this.#held.slice(0, end + CALL_CLOSE.length);
    this.#held = this.#held.slice(source.length);
    const call = parseCall(source.slice(CALL_OPEN.length, end), this.#names);
    if (call) found.push({ type: "call", call, source });
    else found.push({ type: "text", text: source });
    this.#state = call ? "after" : "text";
    return this.#held !== "";
  }
}
