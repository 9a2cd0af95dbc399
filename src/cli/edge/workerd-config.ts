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
  /** Who answers what clients want to CONNECT to. */
  readonly tunnels: string;
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
    ...names.map((name) => `(name = ${quote(name)}, fromEnvironment = ${quote(name)})`),
  ];
  // The key decides where an object's rows are stored: with another one they would be lost.
  const namespaces = edge.objects.map(
    ({ className }) =>
      `(className = ${quote(className)}, uniqueKey = ${quote(`${edge.name}-${className}`)}, enableSql = true)`,
  );
  return `# Made by \`ipshard edge\` from wrangler.toml at every start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [${V8_FLAGS.map(quote).join(", ")}],
  services = [
    (name = "edge", worker = .edge),
    (name = "storage", disk = (path = ${quote(place.storage)}, writable = true)),
    # Gateways are on private addresses, here on loopback; destinations are the hosts' business.
    (name = "network", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    # The nameless network is where workerd passes CONNECT on to, so it must lead nowhere.
    (name = "tunnels", external = (address = ${quote(place.tunnels)}, http = ())),
  ],
  sockets = [
    (name = "http", address = ${quote(`${place.host}:${place.port}`)}, http = (), service = "edge"),
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

/** A Cap'n Proto text literal. */
function quote(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
