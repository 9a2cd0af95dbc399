/**
 * A sender behind a host that translates, and the far end beyond: three network namespaces in a row, one such row for
 * each way of translating. All rows stand at once and are measured by turns.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { promisify } from "node:util";
import { GUARD_TABLE } from "../../src/agent/machine/guard-ruleset.ts";
import { addNamespace, execInside, newPrefix, removeNamespace } from "../../test/lab/namespaces.ts";
import { SENDERS, SHARED, type Translation } from "./translations.ts";

const run = promisify(execFile);
const SOURCES = join(import.meta.dirname, "../load");
const ROLES = ["sender", "host", "far"] as const;
type Role = (typeof ROLES)[number];

const FAR = "198.51.100.20";
/** The far end takes connections on so many ports, so that one port of the sender is good for as many. */
const FIRST_PORT = 7000;
const PORT_COUNT = 2000;
/** What is kept goes to this one. */
const KEPT_PORT = FIRST_PORT - 1;
const CONCURRENCY = 32;
const SETTINGS: Readonly<Record<Role, readonly string[]>> = {
  sender: [
    "net.ipv4.ip_local_port_range=1024 65535",
    "net.ipv4.tcp_tw_reuse=1",
    "net.ipv4.tcp_max_tw_buckets=8192",
  ],
  // Ended connections are forgotten as fast as can be set, or their number would bound all ways alike.
  host: [
    "net.ipv4.ip_forward=1",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1",
    "net.netfilter.nf_conntrack_tcp_timeout_close=1",
  ],
  far: ["net.core.somaxconn=65535", "net.ipv4.tcp_max_syn_backlog=65535"],
};

/** What a program tells of connections. */
export interface Calls {
  readonly count: number;
  readonly failed: number;
}

/** What went through in a second, and the time of the processor for each: what the kernel does on the way is in it. */
export interface Throughput {
  readonly perSecond: number;
  readonly cpuUsEach: number;
}

interface Measured {
  readonly count: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Compiles the programs of the load into a directory. */
export function buildPrograms(directory: string): void {
  for (const name of ["calls", "pour", "taker"]) {
    execFileSync("gcc", ["-O2", "-o", join(directory, name), join(SOURCES, `${name}.c`)]);
  }
}

/** One row, from `create` to `destroy`. */
export class SnatRig {
  readonly translation: Translation;
  readonly #programs: string;
  readonly #prefix = newPrefix();
  #taker: ChildProcess | null = null;

  private constructor(translation: Translation, programs: string) {
    this.translation = translation;
    this.#programs = programs;
  }

  /** Everything but what is translated; `use` of the translation says that. */
  static async create(translation: Translation, programs: string): Promise<SnatRig> {
    const rig = new SnatRig(translation, programs);
    try {
      await rig.#build();
    } catch (fault) {
      await rig.destroy();
      throw fault;
    }
    return rig;
  }

  /** These units of the shared address are for the sender from now on, and no connection is known. */
  async begin(units: readonly number[]): Promise<void> {
    await this.translation.use(this.#prefix + "host", units);
    await this.#exec("host", "conntrack", "-F");
  }

  /** Connections opened and closed, to many destinations. */
  async call(seconds: number): Promise<Throughput> {
    const words = ["rate", FAR, FIRST_PORT, PORT_COUNT, CONCURRENCY, seconds].map(String);
    const told = await this.#told<Measured & { failed: number }>("calls", words);
    // What is slow may be so by chance; what fails where there is room enough is broken.
    if (told.failed > told.count / 100)
      throw new Error(`of ${told.count} calls ${told.failed} failed (${this.translation.name})`);
    return throughputOf(told);
  }

  /** Bytes by so many connections, or datagrams by so many sockets. */
  async pour(what: "bytes" | "datagrams", count: number, seconds: number): Promise<Throughput> {
    const words = [what, FAR, FIRST_PORT, count, seconds].map(String);
    return throughputOf(await this.#told<Measured>("pour", words));
  }

  /** Somebody who keeps connections to one destination. */
  holder(): Holder {
    const argv = [
      "netns",
      "exec",
      `${this.#prefix}sender`,
      join(this.#programs, "calls"),
      "hold",
      FAR,
      `${KEPT_PORT}`,
    ];
    return new Holder(spawn("ip", argv, { stdio: ["pipe", "pipe", "inherit"] }));
  }

  /** Takes the guard out of the host's kernel; the translation stays. */
  async withoutGuard(): Promise<void> {
    for (const family of ["inet", "netdev"]) {
      for (const verb of ["add", "delete"])
        await this.#exec("host", "nft", verb, "table", family, GUARD_TABLE);
    }
  }

  async destroy(): Promise<void> {
    await this.translation.close();
    this.#taker?.kill("SIGKILL");
    for (const role of ROLES) removeNamespace(this.#prefix + role);
  }

  async #build(): Promise<void> {
    for (const role of ROLES) await addNamespace(this.#prefix + role);
    await this.#link("sender", "host", "pod0");
    await this.#link("far", "host", "out0");
    for (const role of ROLES) {
      await this.#exec(role, "ip", "link", "set", "lo", "up");
      await this.#exec(role, "sysctl", "-qw", ...SETTINGS[role]);
    }
    const addresses: readonly (readonly [Role, string, string])[] = [
      ["sender", "10.88.1.2/24", "eth0"],
      ["host", "10.88.1.1/24", "pod0"],
      ["host", "203.0.113.1/31", "out0"],
      ["host", `${SHARED}/32`, "lo"],
      ["far", "203.0.113.0/31", "eth0"],
      ["far", `${FAR}/32`, "lo"],
    ];
    for (const [role, address, device] of addresses)
      await this.#exec(role, "ip", "addr", "add", address, "dev", device);
    await this.#exec("sender", "ip", "route", "add", "default", "via", "10.88.1.1");
    await this.#exec("host", "ip", "route", "add", "default", "via", "203.0.113.0");
    await this.#exec("far", "ip", "route", "add", SHARED, "via", "203.0.113.1");
    await execInside(`${this.#prefix}far`, ["nft", "-f", "-"], SINK);
    const words = ["netns", "exec", `${this.#prefix}far`, join(this.#programs, "taker")];
    this.#taker = spawn("ip", [...words, `${KEPT_PORT}`, `${PORT_COUNT + 1}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(this.#taker.stdout!, "data");
  }

  async #link(role: Role, host: Role, device: string): Promise<void> {
    const peer = ["peer", "name", device, "netns", this.#prefix + host];
    await this.#exec(role, "ip", "link", "add", "eth0", "type", "veth", ...peer);
    await this.#exec(role, "ip", "link", "set", "eth0", "up");
    await this.#exec(host, "ip", "link", "set", device, "up");
  }

  async #told<Report>(program: string, words: readonly string[]): Promise<Report> {
    const argv = ["netns", "exec", `${this.#prefix}sender`, join(this.#programs, program), ...words];
    const { stdout } = await run("ip", argv);
    return JSON.parse(stdout) as Report;
  }

  #exec(role: Role, ...argv: string[]): Promise<{ stdout: string }> {
    return execInside(this.#prefix + role, argv);
  }
}

function throughputOf({ count, seconds, cpuSeconds }: Measured): Throughput {
  return { perSecond: count / seconds, cpuUsEach: (cpuSeconds * 1e6) / count };
}

/** Datagrams end where they arrive, so that the far end costs as little as can be. */
const SINK = `table netdev sink {
  chain arrived {
    type filter hook ingress device "eth0" priority 0
    meta l4proto udp ip saddr != ${SENDERS} drop
  }
}
`;

/** One program that keeps connections. */
export class Holder {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! });
  }

  /** Opens so many more; failed are those whose first packet led to nothing. */
  open(count: number): Promise<Calls> {
    return this.#ask(`open ${count}`);
  }

  /** Ends it, and with it its connections. */
  async close(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  async #ask(line: string): Promise<Calls> {
    const answer = once(this.#lines, "line") as Promise<[string]>;
    this.#child.stdin!.write(`${line}\n`);
    return JSON.parse((await answer)[0]) as Calls;
  }
}
