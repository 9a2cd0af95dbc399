/** Where a request wants to go, as far as that matters to the edge. The gateway judges the URL. */
import { type Family, familyOf } from "../../core/address-family.ts";

/** An IPv4 address in the dress of an IPv6 one, as URLs write it; hosts dial what is within. */
const MAPPED = /^::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}$/;
/** What the hostname of a URL can only be if it is an IPv4 address. */
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/;

/** A destination, read when it is first asked for: most requests never need it. */
export class Destination {
  readonly #target: string;
  #url: URL | null | undefined;

  /** `target` is the path and query at the gateway. */
  constructor(target: string) {
    this.#target = target;
  }

  /** Host and port; empty for what the gateway will refuse. */
  get place(): string {
    const url = this.#read();
    return url === null ? "" : `${url.hostname}:${url.port || url.protocol}`;
  }

  /** The name that hosts will resolve, or the address. */
  get name(): string {
    return this.#read()?.hostname ?? "";
  }

  /** The family of an address; null of a name. */
  get family(): Family | null {
    const { name } = this;
    if (IPV4.test(name)) return 4;
    if (!name.startsWith("[")) return null;
    return MAPPED.test(name.slice(1, -1)) ? 4 : familyOf(name);
  }

  #read(): URL | null {
    if (this.#url === undefined) {
      const query = this.#target.slice(this.#target.indexOf("?") + 1);
      this.#url = URL.parse(new URLSearchParams(query).get("url") ?? "");
    }
    return this.#url;
  }
}
