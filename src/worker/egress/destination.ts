/** Where a request wants to go, as far as that matters to the edge. The gateway judges the URL. */
import { type Family, familyOf } from "../../core/address-family.ts";
import { parseConnectTarget } from "../../wire/connect-target.ts";
import { CONNECT_PATH } from "../../wire/header-names.ts";

/** An IPv4 address in the dress of an IPv6 one, as URLs write it; hosts dial what is within. */
const MAPPED = /^::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}$/;
/** What the hostname of a URL can only be if it is an IPv4 address. */
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/;

/** What is wanted there: in a URL the scheme may stand for the port. */
interface Place {
  readonly hostname: string;
  readonly port: string;
}

/** A destination, read when it is first asked for: most requests never need it. */
export class Destination {
  readonly #target: string;
  #place: Place | null | undefined;

  /** `target` is the path and query at the gateway. */
  constructor(target: string) {
    this.#target = target;
  }

  /** Host and port; empty for what the gateway will refuse. */
  get place(): string {
    const place = this.#read();
    return place === null ? "" : `${place.hostname}:${place.port}`;
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

  #read(): Place | null {
    if (this.#place === undefined) {
      const parameters = new URLSearchParams(this.#target.slice(this.#target.indexOf("?") + 1));
      this.#place = this.#target.startsWith(CONNECT_PATH)
        ? connectPlace(parameters.get("to") ?? "")
        : urlPlace(parameters.get("url") ?? "");
    }
    return this.#place;
  }
}

function connectPlace(to: string): Place | null {
  const target = parseConnectTarget(to);
  return target === null ? null : { hostname: target.hostname, port: String(target.port) };
}

function urlPlace(text: string): Place | null {
  const url = URL.parse(text);
  return url === null ? null : { hostname: url.hostname, port: url.port || url.protocol };
}
