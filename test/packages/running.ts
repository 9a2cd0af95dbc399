/** Programs of an installed package that run until they are told to end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { refuseIfTaken } from "../../src/cli/supervision/addresses.ts";
import { until } from "../cli/processes.ts";
import { personEnvironment } from "../runner/person-environment.ts";
import type { Project } from "./projects.ts";

const running = new Set<Running>();

/** One of them, and all that it has said. */
export class Running {
  said = "";
  readonly #child: ChildProcess;

  constructor(node: string, { directory }: Project, args: readonly string[]) {
    const bin = join(directory, "node_modules/.bin/ipshard");
    const env = personEnvironment();
    this.#child = spawn(node, [bin, ...args], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.said += text));
    }
    running.add(this);
  }

  async untilSaid(text: string): Promise<void> {
    await until(`it says ${JSON.stringify(text)}`, () => {
      if (!this.said.includes(text) && this.#child.exitCode !== null) throw new Error(this.said);
      return this.said.includes(text);
    });
  }

  /** As an operator does it; the exit code. */
  async end(): Promise<number | null> {
    running.delete(this);
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const ended = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    const [code] = (await ended) as [number | null];
    return code;
  }
}

/** For the end of a file of tests. */
export async function endAll(): Promise<void> {
  for (const one of [...running].toReversed()) await one.end();
}

/** The first of as many ports in a row that nobody listens on, here nor where the sample origin is. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: count }, (_, offset) => first + offset);
    const places = ports.flatMap((port) =>
      ["127.0.0.1", "127.0.0.20"].map((host) => ({ host, port, purpose: "" })),
    );
    const isFree = await refuseIfTaken(places, "").then(
      () => true,
      () => false,
    );
    if (isFree) return first;
  }
}
