/** Counts what a graphics device has been asked to keep. */

export interface DeviceMemory {
  /** Buffers that were made and not destroyed, and their bytes. */
  readonly buffers: number;
  readonly bytes: number;
}

/** @param device every buffer that it makes from now on is counted */
export function countBuffers(device: GPUDevice): DeviceMemory {
  const memory = { buffers: 0, bytes: 0 };
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    let isThere = true;
    memory.buffers += 1;
    memory.bytes += descriptor.size;
    buffer.destroy = () => {
      if (isThere) {
        memory.buffers -= 1;
        memory.bytes -= descriptor.size;
      }
      isThere = false;
      return destroy();
    };
    return buffer;
  };
  return memory;
}
