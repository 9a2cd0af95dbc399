/** One host that translates for its containers with no edge behind it: told what to do, and asked what came of it. */
import { join } from "node:path";
import { removalText } from "../../src/agent/machine/guard-ruleset.ts";
import { SENDERS } from "./containers.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import type { Role } from "./plan.ts";
import { steerStatically } from "./static-steering.ts";

/** Of curl: could not connect, which it says at once when it is refused. */
export const REFUSED = 7;
export const ORIGIN_PORT = 8080;
const KEEPER = join(import.meta.dirname, "translation-keeper.ts");
const LONG_MS = 600_000;

/** A laboratory with h1, its containers and a web origin. */
export class TranslationRig {
  readonly lab: Lab;
  #keeper: LabProcess | null = null;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async create(): Promise<TranslationRig> {
    const lab = await Lab.create({ hosts: 1, routers: 1, containers: true });
    await steerStatically(lab, "r1", [{ host: 1, first: 1024, last: 65_535 }]);
    const program = join(import.meta.dirname, "web-origin.ts");
    const origin = lab.spawnNode("internet", program, [`${ORIGIN_PORT}`]);
    await origin.waitFor("listening");
    return new TranslationRig(lab);
  }

  /** An agent's stand-in begins, in the place of the one before; `within` makes the command that runs it. */
  async begin(within: (argv: readonly string[]) => readonly string[] = (argv) => argv): Promise<void> {
    await this.#keeper?.kill();
    this.#keeper = this.lab.spawn("h1", within([process.execPath, KEEPER]));
    await this.#keeper.waitFor("ready\n");
  }

  /** Ends it, and takes out of the kernel what it, or a table of another name, has put there. */
  async clear(...more: readonly string[]): Promise<void> {
    await this.#keeper?.kill();
    const tables = ["ipshard_snat", ...more].map(
      (name) => `add table inet ${name}\ndelete table inet ${name}`,
    );
    await this.lab.exec("h1", ["nft", "-f", "-"], [removalText(), ...tables].join("\n"));
    await this.lab.exec("h1", ["conntrack", "-F"]);
  }

  async ask<Answer = unknown>(...words: readonly unknown[]): Promise<Answer> {
    return JSON.parse(await this.#keeper!.ask(JSON.stringify(words))) as Answer;
  }

  /** Nothing may leave yet of what these rules name. */
  async open(rules: readonly string[] = [SENDERS]): Promise<void> {
    await this.#does("open", rules);
  }

  /** From now on these units are for new flows, but for destinations that are full. */
  async choose(ip: string, units: readonly number[], full: readonly string[] = []): Promise<void> {
    await this.#does("choose", ip, units, LONG_MS, full);
  }

  async countOf(name: string): Promise<number> {
    return (await this.ask<Record<string, number>>("counts"))[name]!;
  }

  /** As whom an origin sees somebody, or how curl ends. */
  async seen(role: Role, origin: string, prefix: readonly string[] = []): Promise<string | number> {
    const place = origin.includes(":") ? `[${origin}]` : origin;
    const argv = [...prefix, "curl", "-sgf", "-m", "5", `http://${place}:${ORIGIN_PORT}/seen`];
    const asking = this.lab.spawn(role, argv);
    const code = await asking.exited;
    return code === 0 ? (JSON.parse(asking.said) as { address: string }).address : code!;
  }

  async #does(...words: readonly unknown[]): Promise<void> {
    const answer = await this.ask(...words);
    if (answer !== "ok") throw new Error(`${JSON.stringify(words)}: ${JSON.stringify(answer)}`);
  }
}
