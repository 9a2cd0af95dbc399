/**
 * The lines of the flow log: one JSON object each, in an order of members by which a flow is found
 * without reading every line. Times are UTC by the clock of the host. [AT5]
 *
 *     {"type":"flow","ip":"192.0.2.1","port":5312,"id":"m2x-0-7","protocol":"tcp","start":"…","tenant":"t",…}
 *     {"type":"end","ip":"192.0.2.1","port":5312,"id":"m2x-0-7","end":"…","sent":512,"received":9100}
 */
import { z } from "zod";
import type { FlowLogLevel } from "../../wire/flow-answer.ts";
import type { FlowPlace, FlowSender, LeavingFlow } from "../egress/flow-recorder.ts";

/** A block of ports that this host may use, or not any more. */
export interface LoggedBlock {
  readonly ip: string;
  readonly first: number;
  readonly last: number;
  readonly epoch: number;
}

/** A unit of ports in which the kernel translates, or not any more. */
export interface LoggedTranslation {
  readonly ip: string;
  readonly first: number;
  readonly last: number;
  /** What the pool's policy calls the senders that may leave there. */
  readonly names: readonly string[];
}

const time = z.iso.datetime().transform((text) => Date.parse(text));
const ofFlow = { ip: z.string(), port: z.int(), id: z.string() };
const ofTranslation = { ip: z.string(), first: z.int(), last: z.int() };
const ofBlock = { ip: z.string(), first: z.int(), last: z.int(), epoch: z.int() };

/** Every line that there is. A newer version may have further ones: they are passed over. */
export const lineSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("file"),
    /** Of one process, from its start. */
    run: z.string(),
    level: z.enum(["off", "blocks", "flows"]),
    destinations: z.boolean(),
    at: time,
    /** When the oldest began that is open now; null for none. */
    openSince: time.nullable(),
  }),
  z.object({
    type: z.literal("flow"),
    ...ofFlow,
    protocol: z.enum(["tcp", "udp"]),
    start: time,
    tenant: z.string(),
    client: z.string().nullable(),
    clientAddress: z.string().nullable(),
    destination: z.string().optional(),
  }),
  z.object({
    type: z.literal("use"),
    ...ofFlow,
    at: time,
    client: z.string().nullable(),
    clientAddress: z.string().nullable(),
  }),
  z.object({ type: z.literal("to"), ...ofFlow, at: time, destination: z.string() }),
  z.object({ type: z.literal("end"), ...ofFlow, end: time, sent: z.int(), received: z.int() }),
  z.object({ type: z.literal("block"), ...ofBlock, start: time }),
  z.object({ type: z.literal("block-end"), ...ofBlock, end: time }),
  z.object({
    type: z.literal("translation"),
    ...ofTranslation,
    start: time,
    names: z.array(z.string()),
  }),
  z.object({ type: z.literal("translation-end"), ...ofTranslation, end: time }),
]);

/** A line that was read. */
export type LogLine = z.output<typeof lineSchema>;

/** The first line of a file. */
export interface FileHead {
  readonly run: string;
  readonly level: FlowLogLevel;
  readonly destinations: boolean;
  readonly atMs: number;
  readonly openSinceMs: number | null;
}

/** `203.0.113.5:443`, `[2001:db8::1]:443`. */
export function placeText({ ip, port }: FlowPlace): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** What is in every line of flows of a port, and of no other. */
export function needleOf({ ip, port }: FlowPlace): string {
  return `"ip":${JSON.stringify(ip)},"port":${port},`;
}

/** The first line of a file. */
export function headLine({ run, level, destinations, atMs, openSinceMs }: FileHead): string {
  const openSince = openSinceMs === null ? null : timeText(openSinceMs);
  return JSON.stringify({ type: "file", run, level, destinations, at: timeText(atMs), openSince });
}

/** A flow begins. */
export function flowLine(id: string, flow: LeavingFlow, startMs: number, hasDestination: boolean): string {
  const { protocol, destination, sender } = flow;
  const to = hasDestination && destination !== null ? { destination: placeText(destination) } : {};
  return lineOf("flow", flow, { id, protocol, start: timeText(startMs), ...fieldsOf(sender), ...to });
}

/** Another client uses a flow. */
export function useLine(id: string, place: FlowPlace, atMs: number, sender: FlowSender): string {
  const { client, clientAddress } = sender;
  return lineOf("use", place, { id, at: timeText(atMs), client, clientAddress });
}

/** A flow goes to a further place. */
export function toLine(id: string, place: FlowPlace, atMs: number, destination: FlowPlace): string {
  return lineOf("to", place, { id, at: timeText(atMs), destination: placeText(destination) });
}

/** A flow is over. */
export function endLine(
  id: string,
  place: FlowPlace,
  { endMs, sent, received }: { readonly endMs: number; readonly sent: number; readonly received: number },
): string {
  return lineOf("end", place, { id, end: timeText(endMs), sent, received });
}

/** A block may be used, or not any more. */
export function blockLine(type: "block" | "block-end", block: LoggedBlock, atMs: number): string {
  const { ip, first, last, epoch } = block;
  const when = type === "block" ? { start: timeText(atMs) } : { end: timeText(atMs) };
  return JSON.stringify({ type, ip, first, last, epoch, ...when });
}

/** The kernel may translate in a unit. */
export function translationLine({ ip, first, last, names }: LoggedTranslation, atMs: number): string {
  return JSON.stringify({ type: "translation", ip, first, last, start: timeText(atMs), names });
}

/** It translates there no more. */
export function translationEndLine({ ip, first, last }: LoggedTranslation, atMs: number): string {
  return JSON.stringify({ type: "translation-end", ip, first, last, end: timeText(atMs) });
}

/** What a line says; null for one that was cut off, or that is not known here. */
export function parseLine(text: string): LogLine | null {
  try {
    const parsed = lineSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function lineOf(type: string, { ip, port }: FlowPlace, rest: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ type, ip, port, ...rest });
}

function fieldsOf({ tenant, client, clientAddress }: FlowSender): FlowSender {
  return { tenant, client, clientAddress };
}

function timeText(atMs: number): string {
  return new Date(atMs).toISOString();
}
