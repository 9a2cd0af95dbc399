/** What the options of proxies mean: who may use them without a token, and their name in `via`. */
import ipaddr from "ipaddr.js";
import { isName } from "../core/selection.ts";
import { optionInvalid } from "../process/command-options.ts";

/** A range of addresses, and the name of the client that is there. */
interface ProxySource {
  readonly range: string;
  readonly name: string;
}

/** Whoever is on the machine may use its proxies, unless sources are given. */
const LOCAL_SOURCES: readonly string[] = ["127.0.0.0/8=local", "::1/128=local"];
/** Nobody is known by where it comes from. */
const NO_SOURCES = "none";
/** A range that is larger is no list of clients. */
const SHORTEST_PREFIX = { ipv4: 8, ipv6: 16 } as const;
const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/;

/** The ranges of addresses whose clients need no token, as `--proxy-source` says. [PX3] */
export function readSources(texts: readonly string[]): ProxySource[] {
  if (texts.length === 0) return LOCAL_SOURCES.map(readSource);
  if (!texts.includes(NO_SOURCES)) return texts.map(readSource);
  if (texts.length === 1) return [];
  throw optionInvalid(`--proxy-source ${NO_SOURCES} stands alone: it says that all clients need a token.`);
}

/** A range of addresses and the name of the client that is there. */
function readSource(text: string): ProxySource {
  const [range = "", name = "", ...more] = text.split("=");
  if (more.length > 0 || !ipaddr.isValidCIDR(range) || !isName(name)) {
    throw optionInvalid(`--proxy-source ${text} is not of the form range=name, such as 10.1.0.0/16=office.`);
  }
  const [address, length] = ipaddr.parseCIDR(range);
  if (length < SHORTEST_PREFIX[address.kind()]) {
    throw optionInvalid(
      `--proxy-source ${text}: so large a range would make this an open proxy. Give tokens to such clients.`,
    );
  }
  return { range, name };
}

/** The name under which proxies stand in `via`. */
export function readVia(text: string): string {
  if (TOKEN.test(text)) return text;
  throw optionInvalid(
    `--proxy-via ${text} cannot be a name in Via: letters, digits and !#$%&'*+-.^_\`|~ only.`,
  );
}
