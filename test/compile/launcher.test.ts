import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../arctic", import.meta.url));

/** Stands for `bun compile/build.ts`: slow enough to be met by another, and it leaves a trace. */
const BUILDER = `#!/bin/sh
echo built >> builds.txt
sleep 0.3
[ ! -e broken ] || { echo 'src/main.ts:1: no'; exit 1; }
cat > dist/arctic.new <<'END'
#!/bin/sh
printf '%s|' "$PWD" "$@"
exit 7
END
chmod +x dist/arctic.new
mv dist/arctic.new dist/arctic
`;

let scratch = "";
let root = "";
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "launcher-"));
  root = join(scratch, "a checkout");
  for (const folder of ["src", "kernels", "weights-manifest", "compile", "node_modules/.bin"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync(LAUNCHER, join(root, "arctic"));
  chmodSync(join(root, "arctic"), 0o755);
  for (const file of ["package.json", "package-lock.json", "src/main.ts"]) {
    writeFileSync(join(root, file), "");
  }
  program("node_modules/.bin/bun", BUILDER);
  writeFileSync(join(root, "node_modules/.package-lock.json"), "");
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

function program(path: string, text: string): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), text);
  chmodSync(join(root, path), 0o755);
}

interface Launch {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function launch(args: readonly string[] = [], how: { as?: string; path?: string } = {}) {
  const child = Bun.spawn([how.as ?? join(root, "arctic"), ...args], {
    cwd: scratch,
    env: { PATH: how.path ?? process.env["PATH"] },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status, stdout, stderr } satisfies Launch;
}

const builds = (): number =>
  existsSync(join(root, "builds.txt"))
    ? readFileSync(join(root, "builds.txt"), "utf8").trim().split("\n").length
    : 0;

/** Sets a file's time to some seconds from now. */
function touch(path: string, seconds: number): void {
  const time = Date.now() / 1000 + seconds;
  utimesSync(join(root, path), time, time);
}

test("the first launch builds, then runs with the caller's arguments and folder", async () => {
  const { status, stdout, stderr } = await launch(["prompt", "two words", "", "--model=x"]);
  expect(stdout).toBe(`${scratch}|prompt|two words||--model=x|`);
  expect(stderr).toContain("building dist/arctic");
  expect(status).toBe(7);
});

test("a second launch only runs", async () => {
  await launch();
  expect(await launch()).toEqual({ status: 7, stdout: `${scratch}|`, stderr: "" });
  expect(builds()).toBe(1);
});

test.each(["src/main.ts", "kernels", "package-lock.json", "compile"])(
  "a change of %s builds again",
  async (path) => {
    await launch();
    touch(path, 60);
    // The packages are still those of the lock file.
    touch("node_modules/.package-lock.json", 90);
    await launch();
    expect(builds()).toBe(2);
  },
);

test("launches at once build once", async () => {
  const all = await Promise.all([launch(["a"]), launch(["b"]), launch(["c"])]);
  expect(all.map(({ stdout }) => stdout)).toEqual(["a", "b", "c"].map((a) => `${scratch}|${a}|`));
  expect(builds()).toBe(1);
});

test("links to the launcher lead to its own folder", async () => {
  symlinkSync("a checkout/arctic", join(scratch, "relative"));
  symlinkSync(join(scratch, "relative"), join(scratch, "absolute"));
  expect((await launch([], { as: join(scratch, "absolute") })).status).toBe(7);
  expect(builds()).toBe(1);
});

test("a failed build shows why, runs nothing, and is tried again", async () => {
  writeFileSync(join(root, "broken"), "");
  const { status, stdout, stderr } = await launch();
  expect(status).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toContain("src/main.ts:1: no");
  rmSync(join(root, "broken"));
  expect((await launch()).status).toBe(7);
});

/** A PATH with what the launcher uses, and only the given programs of node and npm. */
function pathWith(...programs: readonly string[]): string {
  const folder = join(scratch, "bin");
  mkdirSync(folder);
  const tools = [
    "sh",
    "find",
    "head",
    "dirname",
    "readlink",
    "mkdir",
    "cat",
    "flock",
    "rm",
    "sleep",
  ];
  for (const tool of [...tools, "chmod", "mv"]) {
    const path = Bun.which(tool);
    if (path !== null) symlinkSync(path, join(folder, tool));
  }
  for (const name of programs) {
    writeFileSync(
      join(folder, name),
      `#!/bin/sh\necho "${name} $*" >> npm.txt\ntouch node_modules/.package-lock.json\n`,
    );
    chmodSync(join(folder, name), 0o755);
  }
  const touchPath = Bun.which("touch");
  if (touchPath !== null) symlinkSync(touchPath, join(folder, "touch"));
  return folder;
}

test("npm ci runs first when the packages are older than the lock file", async () => {
  touch("node_modules/.package-lock.json", -60);
  const { status, stderr } = await launch([], { path: pathWith("node", "npm") });
  expect(stderr).toContain("npm ci");
  expect(status).toBe(7);
  expect(readFileSync(join(root, "npm.txt"), "utf8")).toStartWith("npm ci");
});

test.each([["npm", ["node"]], ["node", ["npm"]]])(
  "without %s it says so",
  async (missing, there) => {
    touch("node_modules/.package-lock.json", -60);
    const { status, stderr } = await launch([], { path: pathWith(...there) });
    expect(status).toBe(1);
    expect(stderr).toContain(`${missing} was not found`);
    expect(stderr).toContain("apt-get install nodejs npm");
  },
);
