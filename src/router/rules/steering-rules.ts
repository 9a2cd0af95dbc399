/**
 * The rules of the router's chains, from the packet's point of view: [RT1] [RT3] [RT4]
 *
 *   ingress ─▶ (steer ─▶) ports ─▶ away to the host of its port
 *                └──────────└─▶ other ─▶ not an address of the pool: the kernel's own routing
 *                              └─▶ pool ─▶ dropped, for a reason that is counted
 *                                    └─▶ icmp ─▶ echo ─▶ away to the host of its identifier
 *                                          └─▶ error ─▶ quote ─▶ away to the host of the quoted port
 *
 * They stand in a netdev chain at ingress, before routing, connection tracking and the table
 * of local addresses, so none of the three is asked about a steered packet.
 */
import {
  type Expression,
  FAMILIES,
  type FamilyFields,
  type Field,
  ICMP_TYPE,
  IDENTIFIER_WORD,
  is,
  payload,
  PORT_WORD,
  TCP_AND_UDP,
} from "../../linux/nftables/packet-fields.ts";
import { DROP_REASONS, type DropReason } from "../steering/drop-reasons.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import { maskOf, type SteeringMap } from "./steering-elements.ts";

/** Burst of ICMP errors, as a multiple of what a second allows. */
export const BURST_SECONDS = 2;

/** One rule: its chain and its expressions. */
export interface Rule {
  readonly chain: string;
  readonly expr: readonly Expression[];
}

const ACCEPT: Expression = { accept: null };
const DROP: Expression = { drop: null };
const MARK: Expression = { meta: { key: "mark" } };

/** Counts by reason, at an element for each: nft lists a set without reading all others first. */
export const REASON_SET = "reasons";

/** The mark of a packet that is about to be dropped; 0 is no reason. */
export function reasonNumber(reason: DropReason): number {
  return DROP_REASONS.indexOf(reason) + 1;
}

/** The name of a chain or set of one family. */
export function nameIn(stem: string, { family }: FamilyFields): string {
  return `${stem}_ip${family}`;
}

/** Chains besides the base chain, in an order in which each can be made. */
export const CHAIN_STEMS = [
  "steer",
  "ports",
  "other",
  "pool",
  "icmp",
  "echo",
  "error",
  "quote",
  "quoted_port",
  "quoted_echo",
  "dropped",
] as const;

/** All rules of the netdev table, for the maps that have elements and the base chains at which packets come in. */
export function steeringRules(
  config: RouterConfig,
  maps: readonly SteeringMap[],
  ingressChains: readonly string[],
): Rule[] {
  return [
    ...ingressChains.flatMap(ingressRules),
    ...FAMILIES.flatMap((fields) => familyRules(fields, config, maps)),
  ];
}

function ingressRules(chain: string): Rule[] {
  const start = FAMILIES.map((fields) => [fields.name, goTo("steer", fields)]);
  return [
    ...FAMILIES.flatMap((fields) =>
      fields.plain.map((isPlain) => ({ chain, expr: [...isPlain, goTo("ports", fields)] })),
    ),
    { chain, expr: [{ vmap: { key: { meta: { key: "protocol" } }, data: { set: start } } }] },
  ];
}

function familyRules(fields: FamilyFields, config: RouterConfig, maps: readonly SteeringMap[]): Rule[] {
  const own = maps.filter(({ family }) => family === fields.family);
  const ofErrors = errorRules(fields, config, own);
  return [...portRules(fields, own), ...refusalRules(fields), ...icmpRules(fields, own), ...ofErrors];
}

/** By the port, once it is sure that there is one; what the ingress chain has not sent there yet is asked here. */
function portRules(fields: FamilyFields, maps: readonly SteeringMap[]): Rule[] {
  const steer = inChain("steer", fields);
  const ports = inChain("ports", fields);
  const stack = maps.filter(({ device }) => device === null);
  const neighbours = maps.filter(({ device }) => device !== null);
  return [
    steer(fields.isLaterFragment, goTo("other", fields)),
    steer(is(fields.protocol, { set: [...TCP_AND_UDP] }), goTo("ports", fields)),
    steer(goTo("other", fields)),
    ...stack.map((map) => ports(...away(fields, map, PORT_WORD))),
    // After those for the kernel's stack: it answers for their hop limit itself.
    ports(isLast(fields), goTo("other", fields)),
    ...neighbours.map((map) => ports(...away(fields, map, PORT_WORD))),
    ports(goTo("other", fields)),
  ];
}

function refusalRules(fields: FamilyFields): Rule[] {
  const address = payload(fields.destination);
  const pool = inChain("pool", fields);
  const dropped = inChain("dropped", fields);
  return [
    inChain("other", fields)(is(address, `@${nameIn("addresses", fields)}`), goTo("pool", fields)),
    pool(fields.isLaterFragment, ...dropFor("fragment", fields)),
    pool(is(fields.protocol, fields.icmp), goTo("icmp", fields)),
    pool(isLast(fields), ...dropFor("hop_limit", fields)),
    pool(is(fields.protocol, { set: [...TCP_AND_UDP] }), ...dropFor("unleased", fields)),
    pool(...dropFor("other_protocol", fields)),
    // Both sets count at the element that was found.
    dropped(is(MARK, `@${REASON_SET}`), is(address, `@${nameIn("drops", fields)}`), DROP),
    dropped(DROP),
  ];
}

function icmpRules(fields: FamilyFields, maps: readonly SteeringMap[]): Rule[] {
  const { errors, echoRequest, echoReply, neighbour } = fields.icmpTypes;
  const type = payload(ICMP_TYPE);
  const icmp = inChain("icmp", fields);
  const echo = inChain("echo", fields);
  const ofLink = neighbour.length === 0 ? [] : [icmp(is(type, { set: [...neighbour] }), ACCEPT)];
  return [
    // They are born with a hop limit of 255 and are for this machine, whose address it may be.
    ...ofLink,
    icmp(isLast(fields), ...dropFor("hop_limit", fields)),
    icmp(is(type, { set: [...errors] }), goTo("error", fields)),
    icmp(is(type, echoReply), goTo("echo", fields)),
    icmp(is(type, echoRequest), ...dropFor("echo_request", fields)),
    icmp(...dropFor("other_icmp", fields)),
    ...maps.map((map) => echo(...away(fields, map, IDENTIFIER_WORD))),
    echo(...dropFor("unleased", fields)),
  ];
}

/** Errors go by the packet they quote, of which 8 bytes after the IP header suffice. [RT3] */
function errorRules(fields: FamilyFields, config: RouterConfig, maps: readonly SteeringMap[]): Rule[] {
  const address = payload(fields.destination);
  const protocol = payload(fields.quotedProtocol);
  const error = inChain("error", fields);
  const quote = inChain("quote", fields);
  const byPort = inChain("quoted_port", fields);
  const byEcho = inChain("quoted_echo", fields);
  const isOwn = is({ concat: [address, payload(fields.quotedSource)] }, `@${nameIn("quotes", fields)}`);
  return [
    error(isOwn, goTo("quote", fields)),
    error(...dropFor("unrelated_error", fields)),
    ...fields.isQuoteUnreadable.map((isUnreadable) =>
      quote(isUnreadable, ...dropFor("unreadable_quote", fields)),
    ),
    quote(exceedsRate(fields, config.icmpErrorsPerSecond), ...dropFor("error_rate", fields)),
    quote(is(protocol, { set: [...TCP_AND_UDP] }), goTo("quoted_port", fields)),
    quote(
      is(protocol, fields.icmp),
      is(payload(fields.quotedIcmpType), fields.icmpTypes.echoRequest),
      goTo("quoted_echo", fields),
    ),
    quote(...dropFor("unreadable_quote", fields)),
    ...maps.map((map) => byPort(...away(fields, map, fields.quotedPortWord))),
    byPort(...dropFor("unleased", fields)),
    ...maps.map((map) => byEcho(...away(fields, map, fields.quotedIdentifierWord))),
    byEcho(...dropFor("unleased", fields)),
  ];
}

/** Sends a packet to the host that the map names; the rule passes when the map has no answer. */
function away(fields: FamilyFields, map: SteeringMap, portWord: Field): Expression[] {
  const port = { "&": [payload(portWord), maskOf(map.order)] };
  const found = { map: { key: { concat: [payload(fields.destination), port] }, data: `@${map.name}` } };
  if (map.device !== null) return [{ fwd: { family: fields.name, addr: found, dev: map.device } }];
  return [{ mangle: { key: MARK, value: found } }, ACCEPT];
}

/** One holder's storm of errors must not cost another its own, so the limit is by part of the ports. */
function exceedsRate(fields: FamilyFields, perSecond: number): Expression {
  const key = { concat: [payload(fields.destination), payload(fields.quotedPortByte)] };
  const limit = { rate: perSecond, per: "second", burst: perSecond * BURST_SECONDS, inv: true };
  return {
    set: {
      op: "update",
      elem: { elem: { val: key } },
      set: `@${nameIn("error_rates", fields)}`,
      stmt: [{ limit }],
    },
  };
}

/** With a hop limit of 1 a packet may be delivered, but not forwarded. A mask, since it is cheaper than `< 2`. */
function isLast(fields: FamilyFields): Expression {
  return is({ "&": [payload(fields.hopLimit), 0xfe] }, 0);
}

function dropFor(reason: DropReason, fields: FamilyFields): Expression[] {
  return [{ mangle: { key: MARK, value: reasonNumber(reason) } }, goTo("dropped", fields)];
}

function goTo(stem: (typeof CHAIN_STEMS)[number], fields: FamilyFields): Expression {
  return { goto: { target: nameIn(stem, fields) } };
}

function inChain(stem: (typeof CHAIN_STEMS)[number], fields: FamilyFields) {
  return (...expr: readonly Expression[]): Rule => ({ chain: nameIn(stem, fields), expr });
}
