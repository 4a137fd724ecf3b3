/**
 * The address of a module that runs in a worker. In a compiled program every module has the program's
 * own address, and the entry points of workers lie at their path below the project's root, as JavaScript
 * (compile/build.ts); in a checkout they lie beside the other sources.
 *
 * @param module path below the project's root, without extension, for example `src/cli/sql-worker`
 */
export function workerUrl(module: string): URL {
  const here = import.meta.url;
  const compiled = here.includes("$bunfs") || here.includes("~BUN");
  return new URL(compiled ? `./${module}.js` : `../${module}.ts`, here);
}
