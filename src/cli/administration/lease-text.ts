/** The blocks of an address for people: as a list, as a map, and what was before. */
import type { AnswerOf } from "../../api/edge-api.ts";
import type { HeldLease } from "../../api/holder-schemas.ts";
import { FIRST_LEASABLE_PORT, UNIT_COUNT, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { type Style, printable, styled, table } from "../output/terminal-text.ts";

/** The table of an address. */
export type AddressTable = AnswerOf<"getIp">;
type Block = AddressTable["blocks"][number];

const UNITS_PER_ROW = 64;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const COLOURS: readonly Style[] = ["green", "cyan", "magenta", "blue", "yellow", "red"];
const FREE = ".";
const RESTING = "~";
const RESERVED = "#";

/** One line for each block, by port. */
export function blocksText(blocks: readonly (Block & { readonly ip: string })[]): string {
  const rows = blocks.map(({ ip, base, order, host, state, epoch, grantedAtMs, freeAtMs, steered }) => [
    ip,
    `${base}-${base + 2 ** order - 1}`,
    host,
    state === "leased"
      ? steered
        ? "leased"
        : "leased, not steered yet"
      : `quarantined until ${timeText(freeAtMs)}`,
    `${epoch}`,
    timeText(grantedAtMs),
  ]);
  return table(["ADDRESS", "PORTS", "HOST", "STATE", "EPOCH", "SINCE"], rows);
}

/** One line for each lease, the latest first. */
export function historyText(leases: readonly HeldLease[]): string {
  const rows = leases.map(({ host, firstPort, lastPort, epoch, sinceMs, untilMs, end }) => [
    host,
    `${firstPort}-${lastPort}`,
    `${epoch}`,
    timeText(sinceMs),
    untilMs === null ? "goes on" : timeText(untilMs),
    end ?? "",
  ]);
  return table(["HOST", "PORTS", "EPOCH", "FROM", "UNTIL", "END"], rows);
}

/** Who has which ports, a character for each unit of ports. */
export function mapText(ip: string, { pool, blocks, freePortCount, retiring }: AddressTable): string {
  const units = Array.from({ length: UNIT_COUNT }, (_, unit): string =>
    unit * UNIT_PORT_COUNT < FIRST_LEASABLE_PORT ? RESERVED : FREE,
  );
  const hosts = [...new Set(blocks.map(({ host }) => host))].toSorted();
  const letterOf = (host: string): string => LETTERS[hosts.indexOf(host) % LETTERS.length]!;
  for (const { base, order, host, state } of blocks) {
    const mark = state === "leased" ? letterOf(host) : RESTING;
    units.fill(mark, base / UNIT_PORT_COUNT, Math.ceil((base + 2 ** order) / UNIT_PORT_COUNT));
  }
  const rows = Array.from({ length: units.length / UNITS_PER_ROW }, (_, row) => {
    const cells = units.slice(row * UNITS_PER_ROW, (row + 1) * UNITS_PER_ROW);
    return `${String(row * UNITS_PER_ROW * UNIT_PORT_COUNT).padStart(5)} ${cells.map(coloured).join("")}`;
  });
  const legend = hosts.map((host) => {
    const held = blocks.filter((block) => block.host === host && block.state === "leased");
    const ports = held.reduce((all, { order }) => all + 2 ** order, 0);
    return `  ${coloured(letterOf(host))} ${printable(host)}: ${ports} ports in ${held.length} blocks`;
  });
  return [
    `${ip} of pool ${printable(pool)}${retiring ? ", retiring" : ""}: ${freePortCount} ports free. A character is ${UNIT_PORT_COUNT} ports.`,
    ...rows,
    ...legend,
    `  ${FREE} free   ${RESTING} in quarantine   ${RESERVED} never leased`,
  ].join("\n");
}

function coloured(mark: string): string {
  const at = LETTERS.indexOf(mark);
  if (at >= 0) return styled(COLOURS[at % COLOURS.length]!, mark);
  return mark === RESTING ? styled("dim", mark) : mark;
}

function timeText(atMs: number | null): string {
  return atMs === null ? "" : new Date(atMs).toISOString();
}
