/** What is asked about: a URL, or a host and a port. */
import { isIP } from "node:net";
import { optionInvalid } from "../../process/command-options.ts";

/** A destination whose addresses are not known yet. */
export interface JudgedPlace {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly isLiteral: boolean;
  readonly port: number;
}

const PORTS: Readonly<Record<string, number>> = { "http:": 80, "ws:": 80, "https:": 443, "wss:": 443 };
const WITH_SCHEME = /^[a-z][a-z\d+.-]*:\/\//i;

/** Reads `https://example.com/`, `example.com:5432` or `udp://example.com:53`. Throws `option-invalid`. */
export function readJudgedPlace(text: string): JudgedPlace {
  const hasScheme = WITH_SCHEME.test(text);
  // A host is read as it is in a URL, whatever it is asked for by.
  const scheme = hasScheme ? text.slice(0, text.indexOf(":") + 1).toLowerCase() : null;
  const isOfUrls = scheme !== null && Object.hasOwn(PORTS, scheme);
  const url = URL.parse(isOfUrls ? text : `http://${hasScheme ? text.slice(text.indexOf("://") + 3) : text}`);
  // The standard drops the port that is its scheme's own.
  const saysEighty = /:0*80\/?$/.test(text);
  const port = Number(url?.port) || (isOfUrls ? PORTS[scheme]! : saysEighty ? 80 : 0);
  const isKnown = isOfUrls || scheme === null || scheme === "tcp:" || scheme === "udp:";
  if (url === null || !isKnown || url.hostname === "" || port === 0) {
    throw optionInvalid(
      `${text} is no destination: give a URL, or a host and a port, as in example.com:5432 or udp://192.0.2.1:53.`,
    );
  }
  const host = url.hostname.replaceAll(/^\[|\]$/g, "");
  return { host, isLiteral: isIP(host) !== 0, port };
}
