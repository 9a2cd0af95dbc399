/**
 * Network namespaces that belong to this process, told apart from all others by their name:
 * `ipshard-PID-START-N-ROLE`. Pid and start time name one process, so what a killed run has
 * left can be removed safely by the next.
 */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { ownIdentity, viewProcess } from "../../src/process/process-identity.ts";

const run = promisify(execFile);
const NAME = /^ipshard-(\d+)-(\d+)-\d+-[a-z0-9]+$/;
let count = 0;

/** What a program said. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** A prefix that no other process, and no other laboratory of this one, has. */
export function newPrefix(): string {
  const { pid, startedAt } = ownIdentity();
  count += 1;
  return `ipshard-${pid}-${startedAt.split("/").at(-1)}-${count}-`;
}

/** Makes an empty namespace. */
export async function addNamespace(name: string): Promise<void> {
  await run("ip", ["netns", "add", name]);
}

/** The command that runs `argv` inside a namespace; it keeps its process id. */
export function inside(name: string, argv: readonly string[]): [command: string, args: string[]] {
  return ["ip", ["netns", "exec", name, ...argv]];
}

/** Runs a program inside a namespace to its end; a failure is thrown, with what it said. */
export async function execInside(
  name: string,
  argv: readonly string[],
  input: string | Buffer = "",
): Promise<Output> {
  const [command, args] = inside(name, argv);
  const running = run(command, args, { maxBuffer: 64 * 2 ** 20 });
  // A program that ends without reading all of it has its own reasons, shown by its exit code.
  running.child.stdin?.on("error", () => {});
  running.child.stdin?.end(input);
  return running;
}

/** Ends what runs in a namespace and removes it. Synchronous, since it also serves a dying process. */
export function removeNamespace(name: string): void {
  const { stdout } = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" });
  for (const pid of (stdout ?? "").split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
  spawnSync("ip", ["netns", "del", name], { stdio: "ignore" });
}

/** All namespaces with this prefix. */
export function namespacesWith(prefix: string): string[] {
  return listNamespaces().filter((name) => name.startsWith(prefix));
}

/** Removes the namespaces of laboratories whose process is no more; says which. */
export function removeLeftovers(): string[] {
  const leftovers = listNamespaces().filter((name) => {
    const match = NAME.exec(name);
    if (match === null) return false;
    const startedAt = viewProcess(Number(match[1]))?.startedAt;
    return startedAt?.endsWith(`/${match[2]}`) !== true;
  });
  for (const name of leftovers) removeNamespace(name);
  return leftovers;
}

function listNamespaces(): string[] {
  const listed = execFileSync("ip", ["-j", "netns", "list"], { encoding: "utf8" });
  if (listed.trim() === "") return [];
  return (JSON.parse(listed) as { name: string }[]).map(({ name }) => name);
}
