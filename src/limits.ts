/** Every number that bounds something, in one place. Bytes unless a name says otherwise. */

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

export const limits = {
  /** safetensors header: the Rust implementation's own bound. */
  safetensorsHeaderBytes: 100_000_000,
  /** JSON files of a checkpoint: config.json, tokenizer_config.json, the shard index. */
  configBytes: 1 * MiB,
  indexBytes: 64 * MiB,
  tokenizerBytes: 64 * MiB,
  manifestBytes: 256 * MiB,
  /** Nesting of JSON and of the manifest. */
  jsonDepth: 32,
  tensorNameBytes: 1_024,
  /** Dimensions of a tensor in a checkpoint. */
  tensorDimensions: 8,
  /** Files of a checkpoint, and shards of a manifest. */
  shards: 65_536,
  /** Threads of `convert`, and the bytes of source rows that each holds at a time. */
  convertWorkers: 8,
  convertBlockBytes: 4 * MiB,
  /** Sources smaller than this are converted without starting threads. */
  convertInlineBytes: 32 * MiB,

  /** Model shapes: beyond any real model, small enough that products stay exact integers. */
  layers: 1_024,
  hiddenSize: 131_072,
  intermediateSize: 1_048_576,
  heads: 1_024,
  experts: 4_096,
  expertsPerToken: 8,
  vocabulary: 1_048_576,
  contextTokens: 1_048_576,
  tokenizerPieceBytes: 1_024,
  /** Characters of all pieces together: four times a vocabulary of 256,000 pieces. */
  tokenizerPieceCharacters: 8_388_608,
  tokenizerMerges: 4_194_304,
  addedTokens: 16_384,
  /** Steps of a normalizer or pre-tokenizer in tokenizer.json, and characters of a pattern in one. */
  tokenizerSteps: 16,
  patternCharacters: 1_024,
  /** Chat templates: their source, the nodes one rendering may visit, and the characters it may handle. */
  templateCharacters: 131_072,
  templateSteps: 200_000,
  templateStepsPerMessage: 2_000,
  templateStringCharacters: 512 * MiB,
  templateItems: 1_048_576,
  templateDepth: 500,
  /** Last guard against a template that no counter caught. */
  templateMilliseconds: 2_000,

  /** A shard of a manifest is closed once it has grown past this. */
  shardBytes: 2 * GiB,
  /** Alignment of an expert in its shard, for mapping and direct I/O. */
  pageBytes: 4 * KiB,
  /** Alignment of every tensor: the largest minStorageBufferOffsetAlignment WebGPU allows. */
  tensorAlign: 256,
  /** Rows of an FP8 matrix are padded to whole vec4<u32> loads. */
  rowAlign: 16,

  /** WGSL kernels use no more than this on any device, whatever the adapter offers. */
  storageBuffersPerKernel: 8,
  bindingBytes: 128 * MiB,
  workgroupsPerDimension: 65_535,
  /** Bytes handed to the GPU queue before the upload waits for the queue to drain. */
  uploadBytesInFlight: 64 * MiB,
  /** Dimensions of an attention head that the GPU kernels take: one lane each. */
  gpuHeadDim: 256,
  /** Bytes of a shard that are visible at once while it is uploaded. */
  uploadWindowBytes: 16 * MiB,
  /** What experts take on a graphics card unless said otherwise: WebGPU does not tell what it has. */
  gpuExpertBytes: 8 * GiB,
  /** Bind groups kept for dispatches that come back; all are dropped when there are more. */
  gpuBindGroups: 16_384,
  /** Parameter blocks that recorded dispatches may have in use at once. */
  gpuParamBlocks: 1_024,
  /** Milliseconds between two looks at whether the device has finished something. */
  gpuPollMilliseconds: 0.1,

  /** Tokens in one KV page. */
  pageTokens: 16,
  /** Rows in one forward pass: a prompt longer than this is read in chunks. */
  chunkTokens: 256,
  /** Measuring how fast a device reads: bytes on the CPU, and runs of which the best counts. */
  bandwidthBytes: 128 * MiB,
  bandwidthRuns: 5,
  /** Rows of one forward pass whose logits are wanted. */
  logitRows: 64,
  /** Tokens that KV pages are set aside for, where the model's own context is longer. */
  kvTokens: 32_768,
  /** Events a request may have waiting for its reader before it stops being scheduled. */
  eventsWaiting: 256,

  /** Requests. */
  promptBytes: 16 * MiB,
  stopStrings: 16,
  stopStringBytes: 1_024,
  topLogprobs: 1_048_576,
  /** Largest seed: seeds are exact integers in JSON. */
  seed: Number.MAX_SAFE_INTEGER,
  /** Measured repetitions of one benchmark. */
  benchRepeats: 1_000,

  /** Milliseconds between two states of a progress bar, and between two lines where there is none. */
  progressBarMs: 100,
  progressLineMs: 5_000,
  /** Files that `doctor` wants a process to be able to open: shards, the device, a server's sockets. */
  openFilesWanted: 1_024,
  temperature: 100,
  /** Tokens that a constraint may refuse at one place of an output. */
  constraintTries: 4_096,
  /** Tokens of one generation that is not unbounded: whole numbers stay exact below. */
  maxTokens: Number.MAX_SAFE_INTEGER,

  /** Questions of one evaluation. */
  evalQuestions: 1_000_000,
  /** Tokens of one generated query, and how often one that has no end is drawn again. */
  sqlTokens: 256,
  sqlDraws: 8,
  /** Characters of a value in a printed table. */
  sqlCellCharacters: 48,
  /** A generated query: its length in characters, and the rows and milliseconds it may take. */
  sqlBytes: 16 * KiB,
  sqlRows: 10_000,
  sqlMilliseconds: 5_000,

  /** Threads of the CPU backend. */
  cpuThreads: 64,
  /** Multiply-adds from which threads share an op: waking one costs as much as about 50,000. */
  cpuSharedWork: 200_000,
  /** Parts of an op for each thread, so that a slow one can take fewer. */
  cpuPartsPerThread: 4,
} as const;
