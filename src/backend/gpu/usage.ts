/** WebGPU's buffer usage bits, which Bun does not have as globals. */
export const BufferUsage = {
  MAP_READ: 1,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
} as const;

/** GPUMapMode.READ */
export const MAP_READ = 1;
