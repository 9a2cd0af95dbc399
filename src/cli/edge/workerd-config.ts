/**
 * Says in workerd's own language what `wrangler.toml` says in Cloudflare's. Values of
 * variables and secrets are not in the text: workerd reads them from its environment, so the
 * edge's key is written to no second file and to no command line. [CI5]
 */
import type { EdgeDeclaration } from "./wrangler-config.ts";

/** Where this edge listens and stores. */
export interface EdgePlace {
  readonly host: string;
  readonly port: number;
  /** Absolute path of a directory that exists. */
  readonly storage: string;
  /** Absolute path of a directory that exists, with the files that the Worker serves. */
  readonly assets: string;
  /** Who answers what clients want to CONNECT to. */
  readonly tunnels: string;
  /** Who gives copies of what is stored; nobody where nothing is said. [OC9] */
  readonly copies?: string;
  /** Authorities that gateways may have their certificates from, beside those of browsers; each in PEM form. */
  readonly gatewayAuthorities?: readonly string[];
  /** With which it shows itself to gateways: files beside the configuration. */
  readonly clientCertificate?: PemFiles | null;
  /** With which it speaks TLS itself: files beside the configuration. */
  readonly certificate?: PemFiles | null;
}

/** Names of two files that are beside the configuration, since it must not have a key in it. [CI5] */
export interface PemFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Name of the bundled module, beside the configuration. */
export const BUNDLE_FILE = "worker.js";

/**
 * What V8 is told. While it clears up its young objects nobody is served: with the 16 MB that they
 * may take otherwise that is 50 ms, twice a second under load, with 2 MB it is not noticed.
 */
const V8_FLAGS = ["--max-semi-space-size=2"];

/** The configuration text. */
export function workerdConfig(edge: EdgeDeclaration, place: EdgePlace): string {
  const names = [...Object.keys(edge.vars), ...edge.secretNames];
  const bindings = [
    ...edge.objects.map(
      ({ binding, className }) => `(name = ${quote(binding)}, durableObjectNamespace = ${quote(className)})`,
    ),
    '(name = "GATEWAYS", service = "network")',
    `(name = ${quote(edge.assets.binding)}, service = "assets")`,
    ...(place.copies === undefined ? [] : ['(name = "COPIES", service = "copies")']),
    ...names.map((name) => `(name = ${quote(name)}, fromEnvironment = ${quote(name)})`),
  ];
  // The key decides where an object's rows are stored: with another one they would be lost.
  const namespaces = edge.objects.map(
    ({ className }) =>
      `(className = ${quote(className)}, uniqueKey = ${quote(`${edge.name}-${className}`)}, enableSql = true)`,
  );
  const copies =
    place.copies === undefined
      ? ""
      : `\n    (name = "copies", external = (address = ${quote(place.copies)}, http = ())),`;
  return `# Made by \`ipshard edge\` from wrangler.toml at every start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [${V8_FLAGS.map(quote).join(", ")}],
  services = [
    (name = "edge", worker = .edge),
    (name = "storage", disk = (path = ${quote(place.storage)}, writable = true)),
    (name = "assets", disk = (path = ${quote(place.assets)})),
    # Gateways are on private addresses, here on loopback; destinations are the hosts' business.
    (name = "network", network = (allow = ["public", "private"], tlsOptions = (${gatewayTls(place)}))),
    # The nameless network is where workerd passes CONNECT on to, so it must lead nowhere.
    (name = "tunnels", external = (address = ${quote(place.tunnels)}, http = ())),${copies}
  ],
  sockets = [
    (name = "http", address = ${quote(`${place.host}:${place.port}`)}, ${protocol(place)}, service = "edge"),
  ],
);

const edge :Workerd.Worker = (
  modules = [(name = ${quote(BUNDLE_FILE)}, esModule = embed ${quote(BUNDLE_FILE)})],
  compatibilityDate = ${quote(edge.compatibilityDate)},
  compatibilityFlags = [${[...edge.compatibilityFlags, "connect_pass_through"].map(quote).join(", ")}],
  globalOutbound = "tunnels",
  durableObjectStorage = (localDisk = "storage"),
  bindings = [
    ${bindings.join(",\n    ")},
  ],
  durableObjectNamespaces = [
    ${namespaces.join(",\n    ")},
  ],
);
`;
}

/** How it knows gateways, and they it. [TR8] */
function gatewayTls({ gatewayAuthorities = [], clientCertificate = null }: EdgePlace): string {
  const parts = ["trustBrowserCas = true"];
  if (gatewayAuthorities.length > 0) {
    parts.push(`trustedCertificates = [${gatewayAuthorities.map(quote).join(", ")}]`);
  }
  if (clientCertificate !== null) parts.push(keyPair(clientCertificate));
  return parts.join(", ");
}

function protocol({ certificate = null }: EdgePlace): string {
  return certificate === null
    ? "http = ()"
    : `https = (options = (), tlsOptions = (${keyPair(certificate)}))`;
}

function keyPair({ certificate, key }: PemFiles): string {
  return `keypair = (privateKey = embed ${quote(key)}, certificateChain = embed ${quote(certificate)})`;
}

/** A Cap'n Proto text literal. */
function quote(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
