/** Waiting for what a test expects to happen, however busy the machine is. */

const PATIENCE_MS = 20_000;

/** Polls until `condition` holds, which may take long. @throws Error when it never does */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const started = performance.now();
  while (!await condition()) {
    if (performance.now() - started > PATIENCE_MS) throw new Error(`waited in vain: ${condition}`);
    await Bun.sleep(1);
  }
}
