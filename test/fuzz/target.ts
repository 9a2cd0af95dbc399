/**
 * What is fuzzed: an edge and two hosts as real processes. Whatever is done to them, they are the
 * same processes afterwards, hold no port, and a witness who asks in the ordinary way all the
 * while is never refused.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { CERTIFICATE } from "../agent/tls-origin.ts";
import { Cluster, delay, until } from "../e2e/cluster.ts";
import { startNameServer } from "../e2e/name-server.ts";

/** Where origins of the fuzz listen; `SECURE_NAME` is one of them, with a certificate. */
export const ORIGIN_IPS = ["127.0.0.21", "127.0.0.22", "127.0.0.23"] as const;
/** Where proxies listen, each on the port of its host's gateway. */
export const PROXY_IP = "127.0.0.2";
export const SECURE_NAME = "secure.test";
/** How long a host waits for an answer; nothing may last much longer. */
export const RESPONSE_TIMEOUT_MS = 15_000;

const HOSTS = ["h1", "h2"] as const;
const WITNESS_PAUSE_MS = 40;
/** Gateway tokens are good for ten minutes. */
const TOKEN_LIFETIME_MS = 300_000;

/** A cluster under fire. */
export class Target {
  readonly cluster: Cluster;
  /** What the witness was told that was not the answer. */
  readonly complaints: string[] = [];
  witnessed = 0;
  readonly #closeNames: () => void;
  readonly #directory: string;
  readonly #witness = new Agent({ connections: 4 });
  #isWatching = true;
  #watch: Promise<void> = Promise.resolve();
  #token: Promise<string> = Promise.resolve("");
  #tokenAtMs = -Infinity;

  private constructor(cluster: Cluster, directory: string, closeNames: () => void) {
    this.cluster = cluster;
    this.#directory = directory;
    this.#closeNames = closeNames;
  }

  static async start(): Promise<Target> {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-fuzz-"));
    const certificate = join(directory, "authority.pem");
    await writeFile(certificate, CERTIFICATE);
    const names = await startNameServer({ [SECURE_NAME]: [ORIGIN_IPS[0]] });
    process.env["NODE_EXTRA_CA_CERTS"] = certificate;
    try {
      const cluster = await Cluster.start({
        hosts: HOSTS,
        settings: { firstBlockOrder: 11, minPortsPerHost: 8192 },
        agentArgs: [
          `--dns=${names.address}`,
          `--response-timeout=${RESPONSE_TIMEOUT_MS}`,
          "--connect-timeout=3000",
          `--proxy=${PROXY_IP}:PORT`,
        ],
      });
      const target = new Target(cluster, directory, names.close);
      target.#watch = target.#bearWitness();
      return target;
    } catch (fault) {
      names.close();
      throw fault;
    } finally {
      delete process.env["NODE_EXTRA_CA_CERTS"];
    }
  }

  /** Whether every host is still the process that it was. */
  isAlive(): boolean {
    return HOSTS.every((host) => this.cluster.hosts.get(host)?.running?.child.exitCode === null);
  }

  /** Where each host's gateway listens. */
  gatewayPorts(): readonly number[] {
    return HOSTS.map((host) => this.cluster.hosts.get(host)!.port);
  }

  /** A token for the gateways, made anew before it ends; all who want one wait for the same. */
  gatewayToken(): Promise<string> {
    if (performance.now() - this.#tokenAtMs > TOKEN_LIFETIME_MS) {
      this.#tokenAtMs = performance.now();
      this.#token = this.#newToken();
    }
    return this.#token;
  }

  /** What could be wrong when the fuzz itself has failed. */
  complaint(): string {
    const ended = HOSTS.filter((host) => this.cluster.hosts.get(host)?.running?.child.exitCode !== null);
    return [`hosts that have ended: ${ended.join(" ") || "none"}`, ...this.complaints.slice(0, 5)].join("\n");
  }

  /** While the witness rests, every process is what it was, and nothing is held. */
  async assertUnharmed(): Promise<void> {
    this.#isWatching = false;
    await this.#watch;
    for (const host of HOSTS) {
      const { exitCode } = this.cluster.hosts.get(host)!.running!.child;
      assert.equal(exitCode, null, `${host} has ended: ${await this.#lastWordsOf(host)}`);
    }
    assert.deepEqual(this.complaints.slice(0, 5), [], "the witness was refused");
    assert(this.witnessed > 0, "the witness asked");
    for (const host of HOSTS) {
      await until(`${host} holds no port`, async () => (await this.#flowsOf(host)) === 0, 30_000);
      assert.equal(await this.#internalFaultsOf(host), 0, `faults of ours at ${host}`);
    }
    this.#isWatching = true;
    this.#watch = this.#bearWitness();
  }

  async stop(): Promise<void> {
    this.#isWatching = false;
    await this.#watch;
    await this.#witness.destroy();
    this.#closeNames();
    await this.cluster.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #newToken(): Promise<string> {
    const response = await request(`${this.cluster.edgeUrl}/v1/gateway-tokens`, {
      method: "POST",
      headers: await this.cluster.clientHeaders(),
      dispatcher: this.#witness,
    });
    const { token } = (await response.body.json()) as { token: string };
    return token;
  }

  async #bearWitness(): Promise<void> {
    const headers = await this.cluster.clientHeaders();
    const url = this.cluster.through(this.cluster.originUrl("/seen"));
    const complain = (what: string): void => {
      this.complaints.push(what);
    };
    while (this.#isWatching) {
      try {
        const { statusCode, body } = await request(url, { headers, dispatcher: this.#witness });
        const text = await body.text();
        if (statusCode !== 200) complain(`${statusCode} ${text}`);
      } catch (fault) {
        complain(String(fault));
      }
      this.witnessed += 1;
      await delay(WITNESS_PAUSE_MS);
    }
  }

  async #flowsOf(host: string): Promise<number> {
    const { addresses, running } = (await this.cluster.status(host)) as unknown as {
      addresses: readonly { flowCount: number }[];
      running: number;
    };
    return running + addresses.reduce((sum, { flowCount }) => sum + flowCount, 0);
  }

  async #internalFaultsOf(host: string): Promise<number> {
    const { refusals } = (await this.cluster.status(host)) as unknown as {
      refusals: Readonly<Record<string, number>>;
    };
    return refusals["internal-fault"] ?? 0;
  }

  async #lastWordsOf(host: string): Promise<string> {
    const log = await readFile(join(this.cluster.directory, `${host}.log`), "utf8");
    return log.trim().split("\n").at(-1) ?? "";
  }
}
