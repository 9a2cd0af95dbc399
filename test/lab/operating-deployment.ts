/**
 * A deployment that does what docs/operating/networks.md says, with the words of the document, and what
 * no document can give: where the edge and the gateways of this laboratory are, a state
 * directory for each machine, and leave to call the laboratory's Internet, whose addresses are
 * otherwise forbidden ones; and a name server.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CLI, EDGE_URL, EdgeSide, ORIGIN_PORT } from "./edge-side.ts";
import type { Lab } from "./lab.ts";
import type { Output } from "./namespaces.ts";
import { type BookBlock, type BookCommand, commandsOf } from "./operating-book.ts";
import { until } from "./until.ts";
import { EDGE, type Role } from "./plan.ts";
import { onManagement } from "./operating-networks.ts";
import type { Sample } from "./web-client.ts";
import type { Wiring } from "./wiring.ts";

const GATEWAY_PORT = 8443;
const POOL = "eu";
const LEAVE = `--allow=198.51.100.0/24 --allow=2001:db8::/32 --dns=${EDGE.ipv4}`;
const DNS_PORT = 53;

/** Words of a block that mean something else on another machine. */
export type Renaming = Readonly<Record<string, string>>;

/** A text of the document with words in the place of others. */
export function renamed(text: string, renaming: Renaming): string {
  let other = text;
  for (const [from, to] of Object.entries(renaming)) {
    other = other.replaceAll(new RegExp(`(?<![\\w.:])${from.replaceAll(".", "\\.")}(?![\\w:])`, "g"), to);
  }
  return other;
}

/** One that stands; its routers and hosts are named as in the document. */
export class OperatingDeployment extends EdgeSide {
  /** Where the operator works: token files, and programs under the names that the document uses. */
  readonly #desk: string;
  readonly #machineOf = new Map<string, Role>();
  readonly #shells = new Map<string, readonly string[]>();

  private constructor(lab: Lab, shared: readonly string[]) {
    super(lab, POOL, shared);
    this.#desk = join(lab.directory, "desk");
  }

  /** The network, the edge and a pool with these addresses; no router and no host. */
  static async start(wiring: Wiring, shared: readonly string[]): Promise<OperatingDeployment> {
    return EdgeSide.standing(
      { wiring },
      (lab) => new OperatingDeployment(lab, shared),
      async (deployment) => {
        await deployment.#furnishDesk();
        await deployment.#startNameServer();
        await deployment.startEdgeSide();
        await deployment.makePool({});
      },
    );
  }

  override gatewayOf(host: string): string {
    const machine = this.#machineOf.get(host);
    assert(machine !== undefined, `${host} was started`);
    return `http://${onManagement(machine).ipv4}:${GATEWAY_PORT}`;
  }

  /** A token file on the desk, as `npx ipshard token` would make it. */
  async issue(role: "router" | "host" | "client", name: string): Promise<void> {
    await writeFile(join(this.#desk, `${name}.token`), await this.token(role, name));
  }

  /**
   * What a client of the document sees, who knows the edge's own URL and no host: requests from each
   * address by its name, and as many that leave the choice to the pool. Until there are so many.
   */
  async askAsClient(path: string, count: number): Promise<Sample[]> {
    const pinned = await Promise.all(this.shared.map((from) => this.to(path, { from })));
    const free = pinned.map(({ url, headers: { egress: _ip, ...headers } }) => ({ url, headers }));
    await this.client.load(2 * (pinned.length + free.length), [...pinned, ...free]);
    await this.client.progresses(count);
    return this.client.stop();
  }

  /** A file of the document where the operator works. */
  async keep(name: string, { text }: BookBlock): Promise<void> {
    await writeFile(join(this.#desk, name), text);
  }

  /** Starts BIRD on a machine; `birdc` there speaks to it. */
  async startBird(machine: Role, configuration: string): Promise<void> {
    const file = join(this.#desk, `${machine}-bird.conf`);
    await writeFile(file, configuration);
    await this.#putProgram("birdc", `exec /usr/sbin/birdc -s ${this.#desk}/$MACHINE-bird.ctl "$@"`);
    const control = join(this.#desk, `${machine}-bird.ctl`);
    this.run(`bird-${machine}`, machine, ["/usr/sbin/bird", "-f", "-c", file, "-s", control]);
    await until(() => existsSync(control));
  }

  /** Carries a line out on a machine, as the operator would; gives what it said. */
  async command(machine: Role, text: string): Promise<string> {
    return (await this.#execute(text, machine)).stdout;
  }

  /** Carries a block out on its machine; gives what its commands said, and leaves its processes running. */
  async follow(block: BookBlock, renaming: Renaming = {}): Promise<string> {
    assert(block.language === "sh" && block.machine !== "", "a block of commands for a machine");
    const named = renaming[block.machine] ?? block.machine;
    const machine = (named === "operator" ? "edge" : named) as Role;
    let said = "";
    for (const command of commandsOf(block)) {
      const { text, isProcess } = this.#localized(command, machine, renaming);
      if (isProcess) this.#launch(text, machine);
      else said += (await this.#execute(text, machine)).stdout;
    }
    return said;
  }

  /** Starts a router or an agent that has ended once more. */
  startAgain(name: string): void {
    const [machine, shell] = [this.#machineOf.get(name), this.#shells.get(name)];
    assert(machine !== undefined && shell !== undefined, `${name} was started`);
    this.run(name, machine, shell);
  }

  #launch(text: string, machine: Role): void {
    const name = /--token-file (\w+)\.token/.exec(text)?.[1];
    assert(name !== undefined, `a process of ours has a token: ${text}`);
    const isAgent = text.startsWith("npx ipshard agent ");
    const shell = this.#shell(`exec ${text}${isAgent ? ` ${LEAVE}` : ""}`, machine);
    this.#machineOf.set(name, machine);
    this.#shells.set(name, shell);
    this.run(name, machine, shell);
  }

  async #execute(text: string, machine: Role): Promise<Output> {
    return this.lab.exec(machine, this.#shell(text, machine));
  }

  #shell(text: string, machine: Role): string[] {
    const words = `cd ${this.#desk}; export MACHINE=${machine} PATH=${this.#desk}/bin:$PATH; ${text}`;
    return ["bash", "-e", "-o", "pipefail", "-c", words];
  }

  #localized({ text, isProcess }: BookCommand, machine: Role, renaming: Renaming): BookCommand {
    let local = text;
    for (const [word, other] of Object.entries(renaming)) {
      local = local.replaceAll(
        new RegExp(`(?<![\\w.:])${word.replaceAll(".", "\\.")}(?![\\w:])`, "g"),
        other,
      );
    }
    local = local
      .replaceAll("https://edge.example.com", EDGE_URL)
      .replaceAll("https://example.com/", `http://example.com:${ORIGIN_PORT}/seen`)
      .replaceAll(/https:\/\/\w+\.example\.com:8443/g, `http://${onManagement(machine).ipv4}:${GATEWAY_PORT}`)
      .replaceAll("/var/lib/", `${this.lab.directory}/${machine}-`)
      // What is between the machines of this laboratory is its own.
      .replaceAll(/ +--gateway-certificate \S+ --gateway-key \S+/g, "")
      .replace(/^npx ipshard (?:agent|router|doctor|ip) .*$/, "$& --allow-plain-http");
    return { text: local, isProcess };
  }

  async #startNameServer(): Promise<void> {
    const program = join(import.meta.dirname, "name-server.ts");
    const argv = [process.execPath, program, EDGE.ipv4, `${DNS_PORT}`];
    await this.run("names", "edge", argv).waitFor("listening");
  }

  /** A program on the desk that stands for one of the system's. */
  async #putProgram(name: string, script: string): Promise<void> {
    await writeFile(join(this.#desk, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  async #furnishDesk(): Promise<void> {
    await mkdir(join(this.#desk, "bin"), { recursive: true });
    // Keys are looked for in the directory of the person who asks.
    await symlink(join(this.lab.directory, "edge"), join(this.#desk, ".ipshard"));
    await this.#putProgram("npx", `shift\nexec ${process.execPath} ${CLI} "$@"`);
  }
}
