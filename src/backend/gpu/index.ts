export { type Binding, type Gpu, openGpu, type Pipeline, whole } from "./context.ts";
export { GpuBackend, type GpuOptions, openGpuBackend } from "./gpu-backend.ts";
