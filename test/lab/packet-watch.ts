/**
 * Whether anything comes to a machine, or leaves it, as its kernel sees it: each packet of TCP and UDP is counted,
 * and of each that begins something it is remembered where it goes. Nothing is lost of it under load, as it can be of a capture.
 */
import { unmapped } from "../../src/policy/embedded-addresses.ts";
import type { Lab } from "./lab.ts";
import type { Role } from "./plan.ts";

/** What is watched, in the language of nftables. */
export interface WatchOptions {
  readonly hook: "prerouting" | "output";
  /** What a packet must be, by family. */
  readonly ipv4: string;
  readonly ipv6: string;
}

const FAMILIES = [
  { name: "ipv4", field: "ip", type: "ipv4_addr" },
  { name: "ipv6", field: "ip6", type: "ipv6_addr" },
] as const;
const TCP_BEGINNING = "tcp flags & (syn | ack) == syn";

type Listed = {
  readonly set?: { readonly elem?: readonly ({ elem: { val: Concat } } | Concat)[] };
  readonly counter?: { readonly packets: number };
};
interface Concat {
  readonly concat: readonly [string, string, number];
}

/** One watch. */
export class PacketWatch {
  readonly #lab: Lab;
  readonly #role: Role;
  readonly #table: string;

  private constructor(lab: Lab, role: Role, table: string) {
    this.#lab = lab;
    this.#role = role;
    this.#table = table;
  }

  /** Watches from now on, under a name of its own. */
  static async start(lab: Lab, role: Role, name: string, options: WatchOptions): Promise<PacketWatch> {
    const watch = new PacketWatch(lab, role, `watch_${name}`);
    await lab.exec(role, ["nft", "-f", "-"], watch.#ruleset(options));
    return watch;
  }

  /** Where packets went that begin something, as `ADDRESS tcp PORT`, with the address as it is dialled. */
  async places(): Promise<Set<string>> {
    const listed = await Promise.all(FAMILIES.map(({ name }) => this.#list("set", name)));
    const elements = listed.flatMap((items) => items.flatMap(({ set }) => set?.elem ?? []));
    return new Set(
      elements.map((element) => {
        const [ip, ...rest] = ("elem" in element ? element.elem.val : element).concat;
        return `${unmapped(ip)} ${rest.join(" ")}`;
      }),
    );
  }

  /** How many packets of TCP and UDP there were. */
  async packetCount(): Promise<number> {
    const items = await this.#list("counter", "passed");
    return items.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
  }

  #ruleset({ hook, ...matches }: WatchOptions): string {
    const sets = FAMILIES.map(
      ({ name, type }) =>
        `set ${name} { type ${type} . inet_proto . inet_service; flags dynamic; size 65535; }`,
    );
    const rules = FAMILIES.flatMap(({ name, field }) => [
      `meta nfproto ${name} meta l4proto { tcp, udp } ${matches[name]} counter name passed`,
      `meta nfproto ${name} ${TCP_BEGINNING} ${matches[name]} add @${name} { ${field} daddr . meta l4proto . th dport }`,
      `meta nfproto ${name} meta l4proto udp ${matches[name]} add @${name} { ${field} daddr . meta l4proto . th dport }`,
    ]);
    // Before all rules of others, which may drop what is to be seen here.
    const chain = `chain seen { type filter hook ${hook} priority -400; policy accept; ${rules.join("; ")}; }`;
    return `table inet ${this.#table} {\ncounter passed {}\n${sets.join("\n")}\n${chain}\n}\n`;
  }

  async #list(kind: "set" | "counter", name: string): Promise<readonly Listed[]> {
    const { stdout } = await this.#lab.exec(this.#role, [
      "nft",
      "-j",
      "list",
      kind,
      "inet",
      this.#table,
      name,
    ]);
    return (JSON.parse(stdout) as { nftables: readonly Listed[] }).nftables;
  }
}
