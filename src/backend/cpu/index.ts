/** The ops in plain TypeScript: the reference in tests, and the way to run where there is no GPU. */

export { attentionDecode } from "./attention-decode.ts";
export { attentionPrefill } from "./attention-prefill.ts";
export { CpuBackend, openCpuBackend } from "./cpu-backend.ts";
export { embed } from "./embed.ts";
export { expertDown } from "./expert-down.ts";
export { expertGateUp } from "./expert-gate-up.ts";
export { e4m3Values, type Fp8Matrix } from "./fp8.ts";
export { gateUpMatmulFp8 } from "./gate-up-matmul-fp8.ts";
export { gateUpMatvecFp8 } from "./gate-up-matvec-fp8.ts";
export { type HeadShape, type KvPages } from "./kv-pages.ts";
export { kvWrite } from "./kv-write.ts";
export { matmulFp8 } from "./matmul-fp8.ts";
export { matvecFp8 } from "./matvec-fp8.ts";
export { rmsNorm } from "./rms-norm.ts";
export { rope, type RopeTable, ropeTable } from "./rope.ts";
export { router } from "./router.ts";
