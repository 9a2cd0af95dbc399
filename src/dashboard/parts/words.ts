/** Numbers and times as people read them. */

// Made once: they are slow to make, and each frame has many numbers.
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** `12,034`. */
export function whole(count: number): string {
  return WHOLE.format(Math.round(count));
}

/** `0.3`, `42`, `1.2k`: for rates and axes. */
export function short(count: number): string {
  if (count === 0) return "0";
  if (Math.abs(count) < 10) return TENTHS.format(count);
  return Math.abs(count) >= 10_000 ? COMPACT.format(count) : whole(count);
}

/** `37 %`, of a part. */
export function percent(part: number): string {
  if (part > 0 && part < 0.01) return "<1 %";
  return `${Math.round(part * 100)} %`;
}

/** `1 host`, `2 hosts`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

/** `8 s`, `12 min`, `3.5 h`, `4 d`: how long something lasts. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${trimmed(seconds / 3600)} h`;
  return `${trimmed(seconds / 86_400)} d`;
}

/** `0.8 ms`, `41 ms`, `2.1 s`: of a hop. */
export function took(ms: number): string {
  if (ms >= 1000) return `${trimmed(ms / 1000)} s`;
  return `${ms < 10 ? trimmed(ms) : Math.round(ms)} ms`;
}

/** `2026-11-30 04:12:07`, by the clock of who looks. */
export function instant(atMs: number): string {
  const date = new Date(atMs);
  if (Number.isNaN(date.getTime())) return "unknown";
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(atMs)}`;
}

/** `04:12:07`. */
export function clock(atMs: number): string {
  const date = new Date(atMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `2048–2111`. */
export function ports(first: number, last: number): string {
  return `${first}–${last}`;
}

/** `203.0.113.5:443`, `[2001:db8::1]:443`; an address alone where no port is known. */
export function placeText(ip: string, port: number | null | undefined): string {
  const shown = ip.includes(":") ? `[${ip}]` : ip;
  return port === null || port === undefined ? shown : `${shown}:${port}`;
}

/** `tcp 203.0.113.5:443`. */
export function destinationText({
  protocol,
  ip,
  port,
}: {
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
}): string {
  return `${protocol} ${placeText(ip, port)}`;
}

function two(part: number): string {
  return `${part}`.padStart(2, "0");
}

function trimmed(value: number): string {
  return TENTHS.format(value);
}

/** A name as a part of a path or a fragment, whatever is in it. */
export function pathPart(name: string): string {
  // What is half a character cannot be written there.
  return encodeURIComponent(name.toWellFormed());
}
