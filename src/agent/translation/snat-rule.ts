/**
 * Whose packets the kernel translates, as `--snat` says: `key=value, key=value`, a value being one or more
 * words with a blank between them. [SN1]
 *
 *     source=10.244.0.0/16, direct=10.244.0.0/16 10.96.0.0/12, name=pods
 */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { isName } from "../../core/selection.ts";
import { optionInvalid } from "../../process/command-options.ts";
import { SENDER_MARK } from "./sender-match.ts";

/** Packets whose mark is `value` in the bits of `mask`. */
export interface PacketMark {
  readonly value: number;
  readonly mask: number;
}

/** Senders that are translated alike. */
export interface SnatRule {
  /** What the pool's policy calls them. */
  readonly name: string;
  /** Networks in CIDR form from which they send. */
  readonly sources: readonly string[];
  /** Devices by which their packets come to this machine. */
  readonly devices: readonly string[];
  readonly marks: readonly PacketMark[];
  /** Control groups of programs on this machine, as paths below the root of the hierarchy. */
  readonly cgroups: readonly string[];
  /** Networks in CIDR form to which they send with their own address. */
  readonly direct: readonly string[];
  /** Addresses of the pool by which they leave; empty for all that the host serves. */
  readonly ips: readonly string[];
}

const KEYS = ["name", "source", "device", "mark", "cgroup", "direct", "ip", "pool"] as const;
type Key = (typeof KEYS)[number];

const DEFAULT_NAME = "translated";
const DEVICE = /^[^\s"/*]{1,15}$/;
const CGROUP = /^[^\s"]{1,200}$/;
const MARK = /^(0x[0-9a-f]{1,8}|\d{1,10})(?:\/(0x[0-9a-f]{1,8}|\d{1,10}))?$/i;
const ALL_BITS = 0xffff_ffff;
/** Of the programs on this machine, whose packets are told apart by a few bits of their mark. */
export const MOST_CGROUPS = 15;

/** Reads all rules of a host in this pool. Throws `option-invalid`. */
export function readSnatRules(texts: readonly string[], pool: string): SnatRule[] {
  const rules = texts.map((text) => readRule(text, pool));
  const count = rules.reduce((sum, { cgroups }) => sum + cgroups.length, 0);
  if (count > MOST_CGROUPS)
    throw optionInvalid(`--snat: there are ${count} cgroups, and at most ${MOST_CGROUPS} can be told apart.`);
  return rules;
}

function readRule(text: string, pool: string): SnatRule {
  const values = readValues(text);
  const words = (key: Key): readonly string[] => values.get(key) ?? [];
  const one = (key: Key): string | undefined => {
    if (words(key).length > 1) throw wrong(text, `${key} takes one value`);
    return words(key)[0];
  };
  const name = one("name") ?? DEFAULT_NAME;
  if (!isName(name)) throw wrong(text, `${name} cannot be a name`);
  const said = one("pool") ?? pool;
  if (said !== pool) throw wrong(text, `this host is in the pool ${pool}, and an agent is in one pool`);
  const rule: SnatRule = {
    name,
    sources: words("source").map((word) => readNetwork(text, word)),
    devices: words("device").map((word) => matching(text, word, DEVICE, "a network device")),
    marks: words("mark").map((word) => readMark(text, word)),
    cgroups: words("cgroup").map((word) => readGroup(text, word)),
    direct: words("direct").map((word) => readNetwork(text, word)),
    ips: words("ip").map((word) => readAddress(text, word)),
  };
  const { sources, devices, marks, cgroups } = rule;
  if (sources.length + devices.length + marks.length + cgroups.length === 0) {
    throw wrong(text, "it says of nobody that they are translated: give source, device, mark or cgroup");
  }
  return rule;
}

function readValues(text: string): Map<Key, readonly string[]> {
  const values = new Map<Key, readonly string[]>();
  for (const part of text.split(",")) {
    const [name = "", value = "", ...more] = part.trim().split("=");
    if (values.size > 0 && !part.includes("=")) {
      throw wrong(
        text,
        `${JSON.stringify(name)} belongs to no key: several values have blanks between them, no commas`,
      );
    }
    if (name === "country" || name === "site") {
      throw wrong(text, "a host knows no country and no site of an address: choose by ip, or with --site");
    }
    const key = KEYS.find((known) => known === name);
    if (key === undefined) throw wrong(text, `${JSON.stringify(name)} is none of ${KEYS.join(", ")}`);
    const words = value.split(/\s+/).filter((word) => word !== "");
    if (words.length === 0 || more.length > 0) throw wrong(text, `${key} has no value, or two`);
    if (values.has(key)) throw wrong(text, `${key} is said twice; its values stand side by side`);
    values.set(key, words);
  }
  return values;
}

/** As the kernel keeps it: without what is beyond the prefix. */
function readNetwork(text: string, word: string): string {
  const whole = isIP(word) === 0 ? word : `${word}/${isIP(word) === 4 ? 32 : 128}`;
  if (!ipaddr.isValidCIDR(whole)) throw wrong(text, `${word} is not a network such as 10.1.0.0/16`);
  const [address, length] = ipaddr.parseCIDR(whole);
  const network =
    address.kind() === "ipv4"
      ? ipaddr.IPv4.networkAddressFromCIDR(whole)
      : ipaddr.IPv6.networkAddressFromCIDR(whole);
  return `${network.toString()}/${length}`;
}

/** The kernel knows a group by its depth, too, so each step of the path must be one. */
function readGroup(text: string, word: string): string {
  if (word.startsWith("/sys/fs/cgroup")) {
    throw wrong(
      text,
      `${word} is a directory: give the path below /sys/fs/cgroup, such as system.slice/x.service`,
    );
  }
  const path = matching(text, word, CGROUP, "a control group").replace(/^\/|\/$/g, "");
  if (path.split("/").some((step) => step === "" || step === "." || step === ".."))
    throw wrong(text, `${word} is not the path of a control group below the root`);
  return path;
}

function readAddress(text: string, word: string): string {
  if (isIP(word) === 0) throw wrong(text, `${word} is not an IP address`);
  return ipaddr.parse(word).toString();
}

function readMark(text: string, word: string): PacketMark {
  const [, value, mask] = MARK.exec(word) ?? [];
  if (value === undefined) throw wrong(text, `${word} is not a mark such as 0x10 or 0x10/0xff`);
  const read = { value: Number(value), mask: mask === undefined ? ALL_BITS : Number(mask) };
  if (read.value > ALL_BITS || read.mask > ALL_BITS || read.value === 0) {
    throw wrong(text, `${word} is not a mark of 32 bits, of which some are set`);
  }
  if ((read.value & Number(SENDER_MARK)) !== 0) {
    throw wrong(text, `${word} has the bit ${SENDER_MARK}, by which the kernel knows all senders`);
  }
  return read;
}

function matching(text: string, word: string, pattern: RegExp, what: string): string {
  if (!pattern.test(word)) throw wrong(text, `${word} cannot be the name of ${what}`);
  return word;
}

function wrong(text: string, why: string): Error {
  return optionInvalid(`--snat ${text}: ${why}.`);
}
