/** Peers on workerd: a Worker of a few lines, served by the same binary as ours. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A running peer. */
export interface BareWorker {
  readonly url: string;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Serves this module; `durableObject` names a class of it with SQLite storage, bound as OBJECT. */
export async function startBareWorker(
  source: string,
  port: number,
  durableObject: string | null = null,
): Promise<BareWorker> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-bench-"));
  await mkdir(join(directory, "storage"));
  await writeFile(join(directory, "worker.js"), source);
  await writeFile(join(directory, "config.capnp"), configOf(port, durableObject, join(directory, "storage")));
  const workerd: string = createRequire(import.meta.url)("workerd").default;
  const child = spawn(workerd, ["serve", "--experimental", join(directory, "config.capnp")], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const url = `http://127.0.0.1:${port}`;
  await untilListening(url, child);
  return {
    url,
    pid: child.pid!,
    stop: async () => {
      const exited = new Promise((resolve) => {
        child.once("exit", resolve);
      });
      child.kill("SIGTERM");
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function configOf(port: number, durableObject: string | null, storage: string): string {
  const objects =
    durableObject === null
      ? ""
      : `bindings = [(name = "OBJECT", durableObjectNamespace = "${durableObject}")],
    durableObjectNamespaces = [(className = "${durableObject}", uniqueKey = "bench", enableSql = true)],
    durableObjectStorage = (localDisk = "storage"),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    compatibilityDate = "2026-10-01",
    ${objects}
    )),
    (name = "storage", disk = (path = "${storage}", writable = true)),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`;
}

async function untilListening(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}`);
    try {
      await fetch(url);
      return;
    } catch {
      await new Promise((resolve) => {
        setTimeout(resolve, 25);
      });
    }
  }
  throw new Error("workerd did not begin to listen within 5 s");
}
