/**
 * Text to tokens and back for the routes. Short texts are done on the spot; long ones in a thread, one
 * after the other, so that the event loop answers everybody else meanwhile.
 */

import { Buffer } from "node:buffer";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import { Tokenizer, type TokenizerFiles } from "../tokenizer/tokenizer.ts";
import { workerUrl } from "../worker-url.ts";
import { nextTurn } from "./next-turn.ts";
import type { TextService } from "./services.ts";

/** What the thread is asked. */
export type TextJob =
  | { readonly type: "encode"; readonly text: string; readonly bos: boolean | undefined }
  | { readonly type: "encode-chat"; readonly messages: readonly ChatMessage[] }
  | { readonly type: "render-chat"; readonly messages: readonly ChatMessage[] }
  | { readonly type: "decode"; readonly ids: Float64Array };

export type ToTextThread =
  | { readonly type: "open"; readonly files: TokenizerFiles }
  | { readonly type: "job"; readonly id: number; readonly job: TextJob };

/** Token ids go as one block of memory: as many numbers one by one would hold the event loop up. */
export type TextResult =
  | { readonly id: number; readonly value: Int32Array | string }
  | { readonly id: number; readonly code: ArcticError["code"]; readonly message: string };

/** What a message costs besides its text, in bytes of text: its part of the template. */
const MESSAGE_BYTES = 64;
const TOKEN_BYTES = 4;
/** Numbers that are copied before the event loop has its turn. */
const IDS_AT_ONCE = 65_536;

interface Waiting {
  resolve(value: Int32Array | string): void;
  reject(error: Error): void;
}

export class TokenizerText implements TextService {
  readonly tokenizer: Tokenizer;
  readonly #files: TokenizerFiles;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;

  /** @throws what `Tokenizer.load` throws */
  constructor(files: TokenizerFiles) {
    this.#files = files;
    this.tokenizer = Tokenizer.load(files);
  }

  async encode(text: string, { bos }: { readonly bos?: boolean } = {}): Promise<number[]> {
    if (isShort(textBytes(text))) {
      return this.tokenizer.encode(text, bos === undefined ? {} : { bos });
    }
    return await this.#ids({ type: "encode", text, bos });
  }

  async encodeChat(messages: readonly ChatMessage[]): Promise<number[]> {
    if (isShort(chatBytes(messages))) return this.tokenizer.encodeChat(messages);
    return await this.#ids({ type: "encode-chat", messages });
  }

  async renderChat(messages: readonly ChatMessage[]): Promise<string> {
    if (isShort(chatBytes(messages))) return this.tokenizer.renderChat(messages);
    return await this.#text({ type: "render-chat", messages });
  }

  async decode(ids: readonly number[]): Promise<string> {
    if (isShort(ids.length * TOKEN_BYTES)) return this.tokenizer.decode(ids);
    return await this.#text({ type: "decode", ids: Float64Array.from(ids) });
  }

  /** Bound: routes hand it on by itself. */
  readonly tokenBytes = (id: number): Uint8Array => this.tokenizer.tokenBytes(id);

  readonly specialText = (id: number): string =>
    this.tokenizer.isSpecial(id) ? this.tokenizer.tokenText(id) : "";

  /** Ends the thread; what waits for it fails. */
  close(): void {
    this.#fail("the server is ending");
  }

  async #ids(job: TextJob): Promise<number[]> {
    return await plainNumbers(await this.#run(job) as Int32Array);
  }

  async #text(job: TextJob): Promise<string> {
    return await this.#run(job) as string;
  }

  #run(job: TextJob): Promise<Int32Array | string> {
    if (this.#waiting.size >= limits.textsWaiting) {
      throw new ArcticError(
        "engine_queue_full",
        `${limits.textsWaiting} long texts wait to be encoded already. Try again later.`,
      );
    }
    const worker = this.#worker ??= this.#start();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ type: "job", id, job } satisfies ToTextThread);
    });
  }

  #start(): Worker {
    const worker = new Worker(workerUrl("src/server/text-worker"));
    // Of a thread that has been given up nothing is heard any more.
    const current = () => this.#worker === worker;
    worker.onmessage = ({ data }: MessageEvent<TextResult>) => current() && this.#settle(data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (current()) this.#fail(event.message);
    };
    worker.addEventListener("close", () => current() && this.#fail("it ended"));
    // An idle thread does not keep the process alive.
    worker.unref();
    worker.postMessage({ type: "open", files: this.#files } satisfies ToTextThread);
    return worker;
  }

  #settle(result: TextResult): void {
    const waiting = this.#waiting.get(result.id);
    this.#waiting.delete(result.id);
    if ("value" in result) waiting?.resolve(result.value);
    else waiting?.reject(new ArcticError(result.code, result.message));
  }

  /** The next long text gets a new thread. */
  #fail(reason: string): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    const error = new ArcticError(
      "tokenizer_thread",
      `The thread that encodes long texts has ended: ${reason}. Send the request again.`,
    );
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** In turns, so that millions of them hold nobody up. An iterator over them takes twenty times as long. */
async function plainNumbers(ids: Int32Array): Promise<number[]> {
  const numbers: number[] = [];
  for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
    if (from > 0) await nextTurn();
    const to = Math.min(from + IDS_AT_ONCE, ids.length);
    for (let i = from; i < to; i++) numbers.push(ids[i] as number);
  }
  return numbers;
}

function isShort(bytes: number): boolean {
  return bytes <= limits.inlineTextBytes;
}

/** Not counted to the end where a text is long already. */
function textBytes(text: string): number {
  return text.length > limits.inlineTextBytes ? text.length : Buffer.byteLength(text);
}

function chatBytes(messages: readonly ChatMessage[]): number {
  return messages.reduce(
    (sum, { role, content }) => sum + MESSAGE_BYTES + textBytes(role) + textBytes(content),
    0,
  );
}
