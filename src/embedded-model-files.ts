/** The files of the embedded model. compile/embedded-model.ts puts another module in this one's place. */

export interface EmbeddedModel {
  /** Changes when any of the files does. */
  readonly hash: string;
  readonly files: readonly EmbeddedFile[];
}

export interface EmbeddedFile {
  /** In the model folder. */
  readonly name: string;
  /** Inside the compiled program. */
  readonly path: string;
  readonly sha256: string;
}

/** "checkout": not compiled, the model lies beside the sources; null: this build has none. */
export const embeddedModel: EmbeddedModel | "checkout" | null = "checkout";
