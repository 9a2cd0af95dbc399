/**
 * A real network on one machine, made of network namespaces and gone without a trace
 * afterwards: an Internet with two origins, a carrier that spreads packets over routers, hosts
 * that share their egress addresses, and an edge that only the management network reaches.
 * Nothing of it touches the machine's own network.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Capture } from "./capture.ts";
import { withContainers } from "./containers.ts";
import { sendFrames } from "./inject.ts";
import { LabProcess, type SpawnOptions } from "./lab-process.ts";
import {
  addNamespace,
  execInside,
  namespacesWith,
  newPrefix,
  type Output,
  removeLeftovers,
  removeNamespace,
} from "./namespaces.ts";
import type { LabSize, Role } from "./plan.ts";
import { batchOf, laboratoryWiring, type Wiring } from "./wiring.ts";

/** What is made. */
export interface LabOptions extends Partial<LabSize> {
  /** Whether hosts hold the shared addresses from the start; else it is for the host set-up. Default true. */
  readonly areSharedConfigured?: boolean;
  /** Another network than that of the drawing. */
  readonly wiring?: Wiring;
  /** Whether each host has containers behind it, c1 and b1 for h1, and forwards for them. Default false. */
  readonly containers?: boolean;
}

const CARETAKER = join(import.meta.dirname, "caretaker.ts");

/** The two networks that a machine can be cut off from. */
export type Switch = "lan" | "management";

/** One standing laboratory. */
export class Lab {
  readonly size: LabSize;
  /** For captures, logs and states; removed with the laboratory. */
  readonly directory: string;
  readonly #prefix: string;
  readonly #processes = new Set<LabProcess>();
  readonly #captures = new Set<Capture>();
  readonly #caretaker: ChildProcess;
  readonly #onExit: () => void;

  private constructor(size: LabSize, directory: string) {
    this.size = size;
    this.directory = directory;
    this.#prefix = newPrefix();
    this.#caretaker = startCaretaker(this.#prefix, directory);
    this.#onExit = () => this.#removeNamespaces();
    process.once("exit", this.#onExit);
  }

  /** Makes it, after removing what killed runs have left. If that fails, nothing stays. */
  static async create(options: LabOptions = {}): Promise<Lab> {
    removeLeftovers();
    const size = { hosts: options.hosts ?? 3, routers: options.routers ?? 2 };
    const lab = new Lab(size, await mkdtemp(join(tmpdir(), "ipshard-lab-")));
    try {
      const wiring = options.wiring ?? laboratoryWiring(size, options.areSharedConfigured ?? true);
      await lab.#build(options.containers === true ? withContainers(wiring, size) : wiring);
    } catch (fault) {
      await lab.destroy();
      throw fault;
    }
    return lab;
  }

  /** The namespace of a machine, as `ip netns exec` wants it. */
  namespaceOf(role: Role): string {
    return this.#prefix + role;
  }

  /** Runs a program on a machine to its end; a failure is thrown. */
  async exec(role: Role, argv: readonly string[], input = ""): Promise<Output> {
    return execInside(this.namespaceOf(role), argv, input);
  }

  /** Starts a program on a machine; it is ended with the laboratory at the latest. */
  spawn(role: Role, argv: readonly string[], options: SpawnOptions = {}): LabProcess {
    const started = new LabProcess(this.namespaceOf(role), argv, options);
    this.#processes.add(started);
    return started;
  }

  /** Runs a TypeScript program of ours on a machine, on the same Node as this one. */
  spawnNode(
    role: Role,
    program: string,
    args: readonly string[] = [],
    options: SpawnOptions = {},
  ): LabProcess {
    return this.spawn(role, [process.execPath, program, ...args], options);
  }

  /** Records the packets on a device that pass a filter of tcpdump; records already when this returns. */
  async capture(role: Role, device: string, filter = ""): Promise<Capture> {
    const capture = await Capture.start(this.namespaceOf(role), device, filter, this.directory);
    this.#captures.add(capture);
    return capture;
  }

  /** Takes a machine off a network without its noticing: nothing passes, the link stays up. */
  async cut(role: Role, network: Switch): Promise<void> {
    await this.exec(network, ["bridge", "link", "set", "dev", role, "state", "0"]);
  }

  /** Puts it back. */
  async heal(role: Role, network: Switch): Promise<void> {
    await this.exec(network, ["bridge", "link", "set", "dev", role, "state", "3"]);
  }

  /** Takes a machine off the management network. */
  async cutManagement(role: Role): Promise<void> {
    await this.cut(role, "management");
  }

  async healManagement(role: Role): Promise<void> {
    await this.heal(role, "management");
  }

  /** Changes what one end of a link can send, in bytes. */
  async setMtu(role: Role, device: string, mtu: number): Promise<void> {
    await this.exec(role, ["ip", "link", "set", "dev", device, "mtu", String(mtu)]);
  }

  /**
   * Makes the way to the origins narrow behind the routers. Only in that direction: an origin
   * that knew of it would announce a small segment size, and no packet would ever be too big.
   */
  async narrowBackbone(mtu: number): Promise<void> {
    await this.setMtu("carrier", "inet0", mtu);
  }

  /** Connections that a machine's kernel tracks, one a line, of both families. */
  async trackedConnections(role: Role): Promise<string[]> {
    const lines: string[] = [];
    for (const family of ["ipv4", "ipv6"]) {
      const { stdout } = await this.exec(role, ["conntrack", "-L", "-f", family]);
      lines.push(...stdout.split("\n").filter((line) => line !== ""));
    }
    return lines;
  }

  /** The link-layer address of a device. */
  async macOf(role: Role, device: string): Promise<string> {
    const { stdout } = await this.exec(role, ["ip", "-j", "link", "show", "dev", device]);
    return (JSON.parse(stdout) as { address: string }[])[0]!.address;
  }

  /** Puts frames on the wire out of a device, as they are. */
  async inject(role: Role, device: string, frames: readonly Uint8Array[]): Promise<void> {
    await sendFrames(this.namespaceOf(role), device, frames);
  }

  /** Ends every program and removes everything. May be called again. */
  async destroy(): Promise<void> {
    await Promise.all([...this.#captures].map((capture) => capture.abandon()));
    await Promise.all([...this.#processes].map((started) => started.kill()));
    this.#removeNamespaces();
    process.removeListener("exit", this.#onExit);
    await rm(this.directory, { recursive: true, force: true });
    this.#caretaker.stdin?.end();
  }

  async #build(wiring: Wiring): Promise<void> {
    for (const role of wiring.roles) await addNamespace(this.namespaceOf(role));
    for (const role of wiring.roles) {
      await this.exec(role, ["sysctl", "-q", "-w", ...wiring.settingsOf(role)]);
    }
    for (const { a, aDevice, b, bDevice } of wiring.links) {
      const peer = ["peer", "name", bDevice, "netns", this.namespaceOf(b)];
      await this.exec(a, ["ip", "link", "add", "dev", aDevice, "type", "veth", ...peer]);
    }
    for (const role of wiring.roles) {
      await this.exec(role, ["ip", "-batch", "-"], `${batchOf(role, wiring).join("\n")}\n`);
    }
  }

  #removeNamespaces(): void {
    for (const name of namespacesWith(this.#prefix)) removeNamespace(name);
  }
}

/** In a session of its own, so that no signal from the keyboard reaches it. */
function startCaretaker(prefix: string, directory: string): ChildProcess {
  const caretaker = spawn(process.execPath, [CARETAKER, prefix, directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  caretaker.unref();
  return caretaker;
}
