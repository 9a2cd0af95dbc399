/**
 * Who may use a proxy: whoever has a client's token, and, without one, those who come from where the
 * operator says that a named client is. [PX2] [PX3]
 */
import ipaddr from "ipaddr.js";
import type { Identity } from "../../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { unmapped } from "../../../policy/embedded-addresses.ts";
import type { Admission } from "../../admission/admission.ts";
import type { WayOfAsking } from "../../admission/client-access.ts";

const PASSWORD = "Send a client's token as the password of the proxy's login.";

/** Where clients without credentials may come from, and what such a client is called. */
export interface ProxySource {
  readonly range: string;
  readonly name: string;
}

const PROXYING: WayOfAsking = {
  role: "client",
  hint: "A proxy takes the token of a client as password: ipshard token --role client.",
};

/** Addresses of clients that are remembered, listed or not. */
const REMEMBERED = 4_096;

/** One for all proxies of a host. */
export class ProxyAccess {
  readonly #admission: Admission;
  readonly #sources: readonly {
    readonly range: ReturnType<typeof ipaddr.parseCIDR>;
    readonly name: string;
  }[];

  readonly #known = new Map<string, Identity | null>();

  constructor(admission: Admission, sources: readonly ProxySource[]) {
    this.#admission = admission;
    this.#sources = sources.map(({ range, name }) => ({ range: ipaddr.parseCIDR(range), name }));
  }

  /** The client that is known by where it comes from; null for a stranger. To be asked once a connection. */
  clientAt(ip: string | undefined): Identity | null {
    if (ip === undefined) return null;
    let client = this.#known.get(ip);
    if (client === undefined) {
      client = this.#findClientAt(ip);
      if (this.#known.size >= REMEMBERED) this.#known.clear();
      this.#known.set(ip, client);
    }
    return client;
  }

  #findClientAt(ip: string): Identity | null {
    if (!ipaddr.isValid(ip)) return null;
    const address = ipaddr.parse(unmapped(ip));
    for (const { range, name } of this.#sources) {
      if (address.kind() !== range[0].kind() || !address.match(range)) continue;
      return { role: "client", subject: name, pools: [this.#admission.pool], expiresAtMs: Infinity };
    }
    return null;
  }

  /** Who asks. Without a promise when the token is known. A token that is wrong is no reason to look at the source. */
  identify(
    token: Outcome<string, Problem> | null,
    clientAt: Identity | null,
  ): Outcome<Identity, Problem> | Promise<Outcome<Identity, Problem>> {
    if (token !== null) return this.#admission.identify(token, PROXYING);
    return clientAt === null ? refuse({ code: "token-missing", detail: PASSWORD }) : ok(clientAt);
  }
}
