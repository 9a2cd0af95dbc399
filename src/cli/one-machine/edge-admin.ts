/** The few things that a start asks of its edge over HTTP. */
import { z } from "zod";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { CommandFault } from "../../link/command-fault.ts";

const placedSchema = z.object({ hosts: z.array(z.object({ host: z.string(), ips: z.array(z.string()) })) });

export class EdgeAdmin {
  readonly #url: string;
  readonly #adminToken: string;
  readonly #clientToken: string;
  readonly #stop: AbortSignal;

  constructor(url: string, tokens: { admin: string; client: string }, stop: AbortSignal) {
    this.#url = url;
    this.#adminToken = tokens.admin;
    this.#clientToken = tokens.client;
    this.#stop = stop;
  }

  /** Makes a pool with this address, if it is not there yet. */
  async ensurePool(pool: string, ip: string): Promise<void> {
    await this.#ask("PUT", `/v1/pools/${pool}`, {});
    await this.#ask("PUT", `/v1/pools/${pool}/ips/${ip}`, {});
  }

  /** Whether all these hosts are placed on the address, which none is without a lease. */
  async areServing(hosts: readonly string[], ip: string): Promise<boolean> {
    const placed = placedSchema.parse(await this.#ask("POST", "/v1/gateway-tokens"));
    return hosts.every((name) => placed.hosts.some(({ host, ips }) => host === name && ips.includes(ip)));
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const token = path === "/v1/gateway-tokens" ? this.#clientToken : this.#adminToken;
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        [EGRESS_AUTHORIZATION]: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      signal: this.#stop,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw new CommandFault("edge-refused", `The edge refused ${method} ${path}: ${response.status} ${text}`);
  }
}
