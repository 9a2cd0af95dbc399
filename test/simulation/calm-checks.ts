/**
 * What must hold once nothing has gone wrong for a while: whoever asks is served, what the dead
 * held has come back, and all tables say the same.
 */
import { blocksOverlap, portCountOf, UNIT_PORT_COUNT } from "../../src/core/port-block.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { minimumOf } from "../../src/core/share.ts";
import { BALLAST, type Edge } from "./edge.ts";
import type { Host } from "./host.ts";
import { type HeldBlock, sameBlocks, Violation } from "./law-checks.ts";
import type { SimulatedRouter } from "./router.ts";
import type { SimulatedWorker } from "./worker.ts";

/** What is looked at. */
export interface CalmWorld {
  readonly edge: Edge;
  readonly worker: SimulatedWorker;
  /** That run and want to send. */
  readonly living: readonly Host[];
  readonly dead: readonly Host[];
  readonly routers: readonly SimulatedRouter[];
  readonly settings: PoolSettings;
}

/** Throws a `Violation` for what is not well. */
export async function checkCalm(world: CalmWorld): Promise<void> {
  for (const ip of world.edge.addresses.keys()) {
    const leased = leasedBlocks(world.edge, ip);
    const assigned = assignedTo(world, ip);
    checkAssigned(world, ip, assigned);
    for (const host of assigned) {
      checkServed(world, host, ip, leased);
      checkTranslated(host, ip);
    }
    checkDead(world, ip);
    checkSteering(world, ip, leased);
  }
  checkSlots(world);
  await checkPlacement(world);
}

/**
 * In a static pool everybody who lives has a slot, on disk and at the edge, and nobody has one on its disk
 * that is not its own. One of which its host was never told may be beside it at the edge. [SM2] [SM5] [SM9]
 */
function checkSlots(world: CalmWorld): void {
  if (world.settings.staticPortsPerHost === null) return;
  for (const host of world.living) {
    const slots = [...world.edge.addresses.keys()].flatMap((ip) =>
      leasedBlocks(world.edge, ip).filter((block) => block.host === host.name),
    );
    const kept = host.keptSlots();
    if (kept.length === 1 && slots.some(({ epoch }) => epoch === kept[0]!.epoch)) continue;
    throw new Violation(
      "calm",
      `${host.name} has ${kept.length} slots on its disk, ${slots.length} at the edge`,
    );
  }
}

/** The living hosts that are to serve an address. */
function assignedTo({ edge, living }: CalmWorld, ip: string): Host[] {
  const rows = edge.pool.database.sql
    .exec("SELECT host FROM assignment WHERE ip = ? AND state = 'serving'", ip)
    .toArray();
  const names = new Set(rows.map((row) => row["host"]));
  return living.filter(({ name }) => names.has(name));
}

/** An address has hosts enough, and nobody is taken to hold on to it who has let go of it. [AS2] [AS4] */
function checkAssigned({ edge, living, settings }: CalmWorld, ip: string, assigned: readonly Host[]): void {
  // In a static pool each host has one address, and none is moved for another's sake. [SM7]
  const isStatic = settings.staticPortsPerHost !== null;
  const least = isStatic ? 0 : Math.min(settings.minHostsPerIp, living.length);
  if (assigned.length < least) {
    throw new Violation("calm", `${ip} is assigned to ${assigned.length} hosts, ${least} could serve it`);
  }
  const moving = edge.pool.database.sql
    .exec("SELECT host, state FROM assignment WHERE ip = ? AND state <> 'serving'", ip)
    .toArray()
    .map((row) => ({ host: row["host"] as string, state: row["state"] as string }))
    .find(({ host, state }) => {
      const own = living.find(({ name }) => name === host);
      return own !== undefined && (state !== "leaving" || !own.has(ip));
    });
  if (moving !== undefined) throw new Violation("calm", `${moving.host} is ${moving.state} on ${ip}`);
}

function checkServed(world: CalmWorld, host: Host, ip: string, leased: readonly HeldBlock[]): void {
  const portCount = host.portCount(ip);
  // Beside what it uses a host wants a spare as large, and is refused nothing of its minimum.
  const wanted = Math.min(2 * portCountOf(world.settings.firstBlockOrder), minimumOf(world.settings));
  const least = world.settings.staticPortsPerHost ?? wanted;
  const held = leased.filter((block) => block.host === host.name);
  const heldCount = held.reduce((sum, { order }) => sum + portCountOf(order), 0);
  if (portCount < 64 || heldCount < least) {
    throw new Violation("calm", `${host.machine.name} has ${portCount} ports of ${ip}, held ${heldCount}`);
  }
  for (const block of host.guard.permitted(ip)) {
    if (held.some((lease) => blocksOverlap(lease, block))) continue;
    throw new Violation(
      "calm",
      `the guard of ${host.machine.name} lets out ${block.base} of ${ip}, not leased`,
    );
  }
}

/** Where there is a unit for each, containers get out again, and so does who speaks a proxy. [SN3] */
function checkTranslated(host: Host, ip: string): void {
  const { translation, machine } = host;
  if (translation === null || !host.isTranslating) return;
  if (host.socketUnits(ip).size === 0) {
    throw new Violation("calm", `no data process of ${machine.name} has a port of ${ip}`);
  }
  if (!isWithout(host, ip)) return;
  throw new Violation("calm", `no container of ${machine.name} gets out by ${ip}`);
}

/** Whether containers wait for a unit that some process has yet to let go of, or wait in vain. */
export function areContainersWaiting({ edge, living }: Pick<CalmWorld, "edge" | "living">): boolean {
  return [...edge.addresses.keys()].some((ip) => living.some((host) => isWithout(host, ip)));
}

function isWithout(host: Host, ip: string): boolean {
  const { translation, guard } = host;
  if (translation === null || !host.isTranslating) return false;
  const units = translation.openIps().includes(ip) ? translation.chosen(ip) : [];
  const isOut = units.some((unit) => guard.permits(ip, unit * UNIT_PORT_COUNT, "translated"));
  return !isOut && host.portCount(ip) >= 2 * UNIT_PORT_COUNT;
}

/** Nothing of a host that has gone is left, leased or in quarantine. */
function checkDead({ edge, dead, living }: CalmWorld, ip: string): void {
  const names = new Set(dead.map(({ name }) => name));
  for (const { name } of living) names.delete(name);
  const rows = edge
    .address(ip)
    .database.sql.exec("SELECT host, base FROM lease UNION SELECT host, 0 FROM holder")
    .toArray();
  const left = rows
    .map((row) => ({ host: row["host"] as string, base: row["base"] as number }))
    .find(({ host }) => names.has(host));
  if (left !== undefined)
    throw new Violation("calm", `${ip}: ${left.host} has gone and still has ${left.base}`);
}

function checkSteering({ edge, routers }: CalmWorld, ip: string, leased: readonly HeldBlock[]): void {
  if (routers.length === 0) return;
  const published = edge.pool.database.sql
    .exec("SELECT base, block_order, host, epoch FROM steering_entry WHERE ip = ?", ip)
    .toArray()
    .map((row) => ({
      base: row["base"] as number,
      order: row["block_order"] as number,
      host: row["host"] as string,
      epoch: row["epoch"] as number,
    }));
  if (!sameBlocks(leased, published))
    throw new Violation("calm", `the pool steers ${ip} otherwise than it is leased`);
  for (const router of routers) {
    const placed = [...(router.kernel.entries.get(ip)?.values() ?? [])];
    if (!router.isReady) throw new Violation("calm", `${router.name} is not ready`);
    if (
      !sameBlocks(
        leased,
        placed.map(({ entry }) => entry),
      )
    ) {
      throw new Violation("calm", `${router.name} steers ${ip} otherwise than it is leased`);
    }
    const lost = placed.find(({ entry, nextHop }) => nextHop === null && entry.host !== BALLAST);
    if (lost !== undefined) throw new Violation("calm", `${router.name} cannot reach ${lost.entry.host}`);
  }
}

async function checkPlacement(world: CalmWorld): Promise<void> {
  const { worker, edge } = world;
  const placement = await worker.placement();
  for (const ip of edge.addresses.keys()) {
    const expected = assignedTo(world, ip)
      .map(({ name }) => name)
      .toSorted();
    const placed = placement?.ips.find((candidate) => candidate.ip === ip)?.hosts ?? [];
    const names = placed.map(({ host }) => host).toSorted();
    if (names.join() !== expected.join()) {
      throw new Violation("calm", `${ip} is placed on ${names.join()}, and ${expected.join()} serve it`);
    }
  }
}

function leasedBlocks(edge: Edge, ip: string): HeldBlock[] {
  const rows = edge
    .address(ip)
    .database.sql.exec("SELECT base, block_order, host, epoch FROM lease WHERE ended_at_ms IS NULL")
    .toArray();
  return rows.map((row) => ({
    base: row["base"] as number,
    order: row["block_order"] as number,
    host: row["host"] as string,
    epoch: row["epoch"] as number,
  }));
}
