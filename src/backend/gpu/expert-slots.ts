/**
 * Which experts are on the device. A slot holds one expert's record as it is in the shard; when all
 * slots are taken, the expert used longest ago makes room.
 *
 * Writes and kernels take effect in the order they are issued, so a slot may be written over while
 * earlier dispatches that read it are still to run.
 */

import { assert } from "../../assert.ts";
import { ArcticError, errorCode } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { WeightSource } from "../../model/backend.ts";
import type { Binding, Gpu } from "./context.ts";
import type { ExpertLayout } from "./expert-gate-up.ts";
import type { Uploader } from "./uploader.ts";

/** Two experts are read by one dispatch. */
const MIN_SLOTS = 2;

export class ExpertSlots {
  readonly layout: ExpertLayout;
  readonly #gpu: Gpu;
  readonly #source: WeightSource;
  readonly #uploader: Uploader;
  /** Slots there may be; less once the device has no room for more. */
  #most: number;
  #made = 0;
  readonly #free: Binding[] = [];
  /** By layer * experts + expert, used longest ago first. */
  readonly #resident = new Map<number, Binding>();

  /**
   * @param experts experts of all layers
   * @param budget bytes that experts may take on the device
   * @throws ArcticError `device_expert_too_large`
   */
  constructor(
    gpu: Gpu,
    source: WeightSource,
    uploader: Uploader,
    experts: { readonly layer: number; readonly total: number },
    budget: number,
  ) {
    this.#gpu = gpu;
    this.#source = source;
    this.#uploader = uploader;
    this.layout = expertLayout(source, experts.layer);
    const { bytes } = this.layout;
    if (bytes > gpu.bindingBytes) {
      throw new ArcticError(
        "device_expert_too_large",
        `One expert of this model takes ${bytes} bytes, and the device binds ${gpu.bindingBytes} ` +
          "at most. Use --backend cpu.",
      );
    }
    this.#most = Math.max(MIN_SLOTS, Math.min(experts.total, Math.floor(budget / bytes)));
  }

  /** Experts that fit on the device at once. */
  get capacity(): number {
    return this.#most;
  }

  /** The expert's record, if it is on the device; it counts as used. */
  find(layer: number, expert: number): Binding | undefined {
    const key = this.#key(layer, expert);
    const slot = this.#resident.get(key);
    if (slot === undefined) return undefined;
    this.#resident.delete(key);
    this.#resident.set(key, slot);
    return slot;
  }

  /**
   * The expert's record, brought to the device if need be. The expert before the last that was
   * asked for keeps its slot.
   * @throws ArcticError `device_out_of_memory` when there is no room for two
   */
  async fetch(layer: number, expert: number): Promise<Binding> {
    const found = this.find(layer, expert);
    if (found !== undefined) return found;
    const { shard, range } = this.#source.expert(layer, expert);
    assert(range.bytes === this.layout.bytes, `expert ${layer}.${expert} of another size`);
    const slot = this.#take();
    this.#resident.set(this.#key(layer, expert), slot);
    try {
      await this.#uploader.copy(slot.buffer, slot.offset, shard, range.offset, range.bytes);
    } catch (error) {
      this.#resident.delete(this.#key(layer, expert));
      this.#free.push(slot);
      throw error;
    }
    return slot;
  }

  #key(layer: number, expert: number): number {
    return layer * limits.experts + expert;
  }

  #take(): Binding {
    if (this.#free.length === 0 && this.#made < this.#most) this.#grow();
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const [oldest] = this.#resident;
    assert(oldest !== undefined, "no expert slot to reuse");
    this.#resident.delete(oldest[0]);
    return oldest[1];
  }

  /**
   * One more slot, in a buffer of its own: a buffer whose first write fills it is never cleared. The
   * slots there are go on in use when the device has no more room.
   */
  #grow(): void {
    const { bytes } = this.layout;
    try {
      const buffer = this.#gpu.buffer(`expert slot ${this.#made}`, bytes);
      this.#free.push({ buffer, offset: 0, size: bytes });
      this.#made++;
    } catch (error) {
      if (errorCode(error) !== "device_out_of_memory" || this.#made < MIN_SLOTS) throw error;
      this.#most = this.#made;
    }
  }
}

/** Every expert's record is laid out alike: offsets come from the first expert of a layer. */
function expertLayout(source: WeightSource, layer: number): ExpertLayout {
  const { range, gateUp, down } = source.expert(layer, 0);
  const word = (offset: number | undefined): number => {
    const at = offset === undefined ? NaN : (offset - range.offset) / 4;
    assert(Number.isInteger(at) && at >= 0, "an expert's parts are aligned inside its record");
    return at;
  };
  assert(word(gateUp.data.offset) === 0, "an expert's record begins with its gate");
  return {
    bytes: range.bytes,
    width: down.cols,
    hidden: gateUp.cols,
    gateUpStride: gateUp.stride / 4,
    gateUpScales: word(gateUp.scales?.offset),
    downCodes: word(down.data.offset),
    downStride: down.stride / 4,
    downScales: word(down.scales?.offset),
  };
}
