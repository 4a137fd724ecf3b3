/** How many bytes of weights one decoded token needs: what bounds its speed. */

import { weightKind } from "../../weights-manifest/inspect.ts";
import type { Manifest, StoredTensor } from "../../weights-manifest/schema.ts";

/** Bytes of a tensor, codes and scales. */
export function storedBytes(tensor: StoredTensor): number {
  return tensor.data.bytes + (tensor.scales?.bytes ?? 0);
}

/**
 * Everything dense, one row of the embedding, and the experts that a token is routed to. Batch 1,
 * keys and values not counted.
 */
export function bytesReadPerToken({ config, tensors }: Manifest): number {
  let dense = 0;
  let experts = 0;
  for (const tensor of tensors) {
    const kind = weightKind(tensor.name);
    if (kind === "experts") experts += storedBytes(tensor);
    else dense += kind === "embedding" ? tensor.stride : storedBytes(tensor);
  }
  // All experts of a model have one shape.
  return dense + (experts === 0 ? 0 : (experts / config.experts) * config.expertsPerToken);
}
