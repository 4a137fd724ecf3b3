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
  /** Files that each keeps open. */
  convertOpenFiles: 8,
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

  /** Requests that are in a batch at once: each takes a row of logits a step. */
  runningRequests: 64,
  /** Those of them that may run past the context, and so without end. */
  longRequests: 48,
  /** Requests that may wait for a place in the batch before new ones are refused. */
  waitingRequests: 256,
  /** A step that reads prompts beside generating takes this many times one that does not, at most. */
  stepStretch: 1.6,
  /** Prompt rows of such a step before anything was measured, and however slow the device is. */
  firstPromptRows: 8,
  leastPromptRows: 2,
  /** Tokens whose repetition ends a generation that asked for it, and the longest period looked for. */
  loopTokens: 512,
  loopPeriod: 256,
  /** Tokens that penalties look back at, at most. */
  penaltyTokens: 4_096,
  /** What DRY takes off a logit at most: more than any model tells tokens apart by, and finite. */
  dryPenalty: 10_000,
  /** Likeliest tokens told with each token of an answer. */
  answerLogprobs: 20,
  /** Tokens that may be biased, and by how much; the size of any penalty. */
  logitBias: 1_024,
  bias: 100,
  penalty: 10,

  /** The HTTP server: the body of a request, and of all requests that are being answered. */
  bodyBytes: 32 * MiB,
  bodiesBytes: 256 * MiB,
  /** A body may take its time, but within each period so many bytes of it come, or it is refused. */
  bodyPeriodMs: 10_000,
  bodyPeriodBytes: 16 * KiB,
  /** Parts that are read in one turn of the event loop: tiny ones may all be there already. */
  bodyPartsATurn: 1_024,
  /** The rest of a body that is refused is read and forgotten so far, and while it keeps coming. */
  lingerBytes: 128 * MiB,
  lingerMilliseconds: 5_000,
  lingerQuietMilliseconds: 200,
  /** Nesting of a request's JSON, its members, and its commas, which bound its values. */
  requestJsonDepth: 64,
  requestJsonMembers: 32_768,
  requestJsonCommas: 524_288,
  /** JSON that is longer is scanned, decoded and parsed in turns of the event loop of their own. */
  jsonTurnBytes: 256 * KiB,
  requestIdCharacters: 64,
  userAgentCharacters: 256,
  /** Choices of requests that may be running or waiting at once. */
  serverChoices: 320,
  /** Generation routes: choices of a prompt, prompts of a request, and choices of all of them. */
  choices: 8,
  prompts: 128,
  requestChoices: 128,
  /** Tools of a request, and characters of names that clients give. */
  tools: 128,
  /** Characters of a tool call; what is longer is text. */
  toolCallCharacters: 1_048_576,
  nameCharacters: 256,
  cacheSaltCharacters: 256,
  /**
   * What an answer that is not streamed holds, all choices and echoed prompts together: its JSON is made
   * in one turn of the event loop, in about 25 ms. A token counts 1; with log-probabilities, which are
   * that much longer, it counts 12, and 4 more for each of the likeliest told with it.
   */
  plainAnswerParts: 262_144,
  plainLogprobParts: 12,
  plainLikeliestParts: 4,
  /** Echoed tokens that are put into an answer in one turn of the event loop. */
  echoTurnTokens: 256,
  stopTokens: 64,
  dryBreakers: 32,
  /** A stream's head waits this long for the first token, so that an early failure has a status. */
  streamHeadMs: 1_000,
  /** Silence of a stream before a comment, and for how long a client may read nothing. */
  streamKeepAliveMs: 4_000,
  streamUnreadMs: 60_000,
  /** Streams that are kept for clients that come back, and what all of them may take. */
  resumeStreams: 512,
  resumeBytes: 256 * MiB,
  /** Of one stream: what was given to a connection and may be lost with it (Linux was seen to hold 4 to
   * 11 MiB in a connection's buffers), and what may be generated while nobody reads. */
  resumeGivenBytes: 16 * MiB,
  resumeAheadBytes: 1 * MiB,
  /** What keeping an event takes beside its own bytes. */
  resumeEventBytes: 160,
  /** Events of a request that may be on their way from the engine's thread, or lie there unread. */
  eventCredit: 64,
  /** While requests wait for it, the engine's thread is taken to hang when it passes no layer for this long. */
  watchdogMilliseconds: 60_000,
  watchdogLookMilliseconds: 5_000,
  /** API keys of a server, their length, and names under which it is reached. */
  apiKeys: 1_024,
  apiKeyCharacters: 1_024,
  allowedHosts: 64,
  /** Memory for the keys and values of all requests of a server, and tokens that it may hold. */
  servedKvBytes: 1 * GiB,
  servedTokens: 16_777_216,
  drainSeconds: 86_400,
  resumeSeconds: 3_600,
  /** Longer texts are encoded in a thread, where so many may wait. */
  inlineTextBytes: 16 * KiB,
  textsWaiting: 64,
  /** Tokens of a text that are told one by one, each with its own text. */
  tokenPieces: 65_536,
  /** Seconds a connection may be silent: Bun's timer ticks every 4 s, and under 8 it cuts too early. */
  idleSeconds: 10,
  /** Seconds after the end of a drain in which streams may still say why they end. */
  farewellSeconds: 1,
  /** Messages of a conversation. */
  chatMessages: 4_096,

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
  /** Tokens drawn that a constraint refuses, before it is asked about every token there is. */
  constraintTries: 64,
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

  /** Grammars (src/grammar). What a JSON Schema may hold in all; nesting counts schemas. */
  grammarBytes: 128 * KiB,
  grammarDepth: 32,
  grammarNodes: 16_384,
  grammarProperties: 1_024,
  grammarEnumValues: 1_024,
  grammarStringCharacters: 4_096,
  /** Largest minLength and maxLength. */
  grammarCharacters: 256 * KiB,
  /** Largest minItems, maxProperties and the like, and their sum over a schema. */
  grammarRepeats: 4_096,
  grammarRepeatsTotal: 16_384,
  /** Atoms of a pattern or an EBNF text once its counted repetitions are written out. */
  grammarExpansion: 8_192,
  /** Compiling a grammar that was never seen. One that takes longer than the second number runs in a
   * thread of its kind, so that compiling it delays no quick one. */
  grammarMilliseconds: 500,
  /** It is not late before it has computed for so long, or waited for so long; looked at so often. */
  grammarComputedMilliseconds: 400,
  grammarWaitMilliseconds: 2_000,
  grammarLookMilliseconds: 50,
  grammarQuickMilliseconds: 50,
  /** Tokens of the trial run after that, and compilations that may wait for their turn. */
  grammarTrialTokens: 32,
  grammarsWaiting: 64,
  /** Compiled grammars kept while nobody uses them. */
  grammarsCached: 128,
  /** What following a grammar may take: each token pays in the first; the second is there from the start. */
  grammarTokenMilliseconds: 5,
  grammarBurstMilliseconds: 250,
  /** How long a step waits for constraints that are not ready; then their requests sit out. */
  constraintGraceMilliseconds: 5,
  /** A grammar thread that does not answer for this long is given up. */
  grammarAnswerMilliseconds: 5_000,
  /** Memory of a grammar thread, from which it is replaced when nobody needs it. */
  grammarHeapBytes: 256 * MiB,
} as const;
