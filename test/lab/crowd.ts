/**
 * Tens of thousands of connections at once, as a test drives them: an origin that holds them, clients
 * that make them through gateways, and what came of them.
 */
import { join } from "node:path";
import { portCountOf } from "../../src/core/port-block.ts";
import type { Deployment } from "./deployment.ts";
import type { LabProcess } from "./lab-process.ts";
import { ORIGINS_IPV4, SHARED_IPV4 } from "./plan.ts";
import { until } from "./until.ts";
import type { WebRequest } from "./web-client.ts";

/** What came of requests. */
export interface CrowdAnswers {
  sent: number;
  /** `200`, or the code of the problem or fault. */
  readonly byCode: Record<string, number>;
  /** Answers that belong to another request, or came to another port than the one they name. */
  readonly wrong: string[];
  /** Where they left from, as the origin saw it. */
  readonly ports: number[];
}

/** The one destination of all of them. */
export const ORIGIN_PORT = 9_090;
const ORIGIN_COUNT = 4;
/** A busy machine is no fault. */
const LONGEST_MS = 90_000;

/** Asks a program of ours that answers in JSON. */
async function ask<Answer>(program: LabProcess, line: string): Promise<Answer> {
  return JSON.parse(await program.ask(line)) as Answer;
}

/** One destination, and as many processes as it takes to hold a connection for each port. */
export class CrowdOrigin {
  readonly #processes: readonly LabProcess[];

  private constructor(processes: readonly LabProcess[]) {
    this.#processes = processes;
  }

  static async start({ lab }: Deployment): Promise<CrowdOrigin> {
    const program = join(import.meta.dirname, "crowd-origin.ts");
    const processes = Array.from({ length: ORIGIN_COUNT }, () =>
      lab.spawnNode("internet", program, [`${ORIGIN_PORT}`]),
    );
    await Promise.all(processes.map((started) => started.waitFor("listening\n")));
    return new CrowdOrigin(processes);
  }

  /** Requests that wait for their answer. */
  async heldCount(): Promise<number> {
    const counts = await this.#askAll<number>("held");
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Waits until exactly so many wait. */
  async holds(count: number): Promise<void> {
    await until(async () => (await this.heldCount()) === count, LONGEST_MS);
  }

  /** The ports from which those came that wait. */
  async ports(): Promise<number[]> {
    return (await this.#askAll<number[]>("ports")).flat();
  }

  /** Answers all that wait, and from then on at once. */
  async answer(): Promise<void> {
    await this.#askAll("answer");
  }

  #askAll<Answer>(line: string): Promise<Answer[]> {
    return Promise.all(this.#processes.map((program) => ask<Answer>(program, line)));
  }
}

/** What holds connections: a client of a gateway, or a process that sends by itself. */
export class Crowd {
  readonly #program: LabProcess;

  private constructor(program: LabProcess) {
    this.#program = program;
  }

  /** A client of this host's gateway, whose requests wait at the origin. */
  static async through(deployment: Deployment, host: string): Promise<Crowd> {
    const token = (await deployment.to("/", { host })).headers["egress-authorization"]!.slice(
      "Bearer ".length,
    );
    const destination = `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/hold`;
    const args = [deployment.gatewayOf(host), token, SHARED_IPV4, destination];
    const program = deployment.lab.spawnNode("edge", join(import.meta.dirname, "crowd-client.ts"), args);
    await program.waitFor("ready\n");
    return new Crowd(program);
  }

  /** A process on this host's machine that sends from ports of its own choice. */
  static async on({ lab }: Deployment, host: `h${number}`): Promise<Crowd> {
    const args = [SHARED_IPV4, ORIGINS_IPV4[0], `${ORIGIN_PORT}`];
    const program = lab.spawnNode(host, join(import.meta.dirname, "crowd-sender.ts"), args);
    await program.waitFor("ready\n");
    return new Crowd(program);
  }

  /** Sends so many more requests at this rate, and waits until they are sent. */
  async send(count: number, perSecond: number): Promise<void> {
    await ask(this.#program, `send ${count} ${perSecond}`);
  }

  /** Sends from each of these ports, and waits until all are connected. */
  async sendFrom(ports: readonly number[]): Promise<void> {
    if (ports.length > 0) await ask(this.#program, `send ${ports.join()}`);
  }

  /** Waits until every request has its answer, and gives them. */
  async take(): Promise<CrowdAnswers> {
    return ask(this.#program, "take");
  }
}

/** A request to the same destination that is answered at once, through a host's gateway or the edge. */
export async function toCrowdOrigin(deployment: Deployment, host?: string): Promise<WebRequest> {
  const { url, ...rest } = await deployment.to("/seen", host === undefined ? {} : { host });
  const destination = encodeURIComponent(`http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`);
  return { ...rest, url: url.replace(/url=.*$/, `url=${destination}`) };
}

/** Ports of the shared IPv4 address that hosts hold, by host, as the edge says. */
export async function leasedByHost(deployment: Deployment): Promise<Map<string, number[]>> {
  const ports = new Map<string, number[]>();
  for (const { base, order, host, state } of await deployment.blocksOf(SHARED_IPV4)) {
    if (state !== "leased") continue;
    const own = ports.get(host) ?? [];
    ports.set(host, own);
    for (let at = 0; at < portCountOf(order); at += 1) own.push(base + at);
  }
  return ports;
}
