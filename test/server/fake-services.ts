/** Services around a fake engine: a token is a byte, and every id and seed is counted. */

import type { ChatMessage } from "../../src/tokenizer/chat-template.ts";
import type { Services, TextService } from "../../src/server/services.ts";
import { FakeEngine, type FakeScript } from "./fake-engine.ts";

export const BOS = 256;
export const EOS = 257;

const render = (messages: readonly ChatMessage[]): string =>
  messages.map(({ role, content }) => `[${role}]${content}\n`).join("") + "[assistant]";

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];

export const byteText: TextService = {
  encode: (text, { bos = true } = {}) =>
    Promise.resolve(bos ? [BOS, ...bytesOf(text)] : bytesOf(text)),
  encodeChat: (messages) => Promise.resolve([BOS, ...bytesOf(render(messages))]),
  renderChat: (messages) => Promise.resolve(render(messages)),
  decode: (ids) =>
    Promise.resolve(new TextDecoder().decode(Uint8Array.from(ids.filter((id) => id < 256)))),
  tokenBytes: (id) => id < 256 ? Uint8Array.of(id) : new Uint8Array(0),
  specialText: (id) => id === BOS ? "<s>" : "",
};

export interface FakeServices extends Services {
  readonly engine: FakeEngine;
}

export function fakeServices(
  script?: FakeScript,
  given: Partial<FakeServices> = {},
): FakeServices {
  let ids = 0;
  let seeds = 0;
  return {
    engine: new FakeEngine(script),
    model: {
      id: "arctic/test",
      created: 1_790_000_000,
      fingerprint: "arctic-0.0.0-test",
      temperature: 1,
      hasChatTemplate: true,
      defaultSystem: undefined,
    },
    text: byteText,
    grammars: undefined,
    clock: () => performance.now(),
    now: () => 1_790_000_123_456,
    randomId: () => `id${++ids}`,
    randomSeed: () => ++seeds,
    ...given,
  };
}
