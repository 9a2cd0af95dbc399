/**
 * The programs, the edge's Worker and the SDK as JavaScript. Whatever they need of other packages is
 * bundled with them: a package without dependencies is installed without a registry, and what runs is
 * what was tested. [PK1] [PK3]
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, isAbsolute, join, relative } from "node:path";
import { type BuildOptions, build, type Metafile, type Plugin } from "esbuild";
import { build as buildWithVite } from "vite";
import { bundleWorker } from "../cli/edge/worker-bundle.ts";
import { OWN_PROGRAMS } from "../process/own-files.ts";

/** The oldest that the manifest's `engines` names. */
const NODE_TARGET = "node22.15";
/** As old as what `test/sdk/bundle.test.ts` asks for. */
const ANYWHERE_TARGET = "es2022";

/** Bundled CommonJS asks for Node's modules in its own way, which modules do not have. */
const REQUIRE = `import { createRequire as ipshardRequire } from "node:module"; const require = ipshardRequire(import.meta.url);`;

/** Who is in it, for the notices. */
export type Inputs = Metafile["inputs"];

/** Where it all comes from and goes to. */
export interface Places {
  readonly root: string;
  readonly dist: string;
}

/** All programs; what several of them need is in files that they share. */
export async function bundlePrograms({ root, dist }: Places): Promise<Inputs> {
  return bundled({
    absWorkingDir: root,
    entryPoints: { ...OWN_PROGRAMS },
    outdir: join(dist, "node"),
    platform: "node",
    target: NODE_TARGET,
    banner: { js: REQUIRE },
  });
}

/** The Worker, and what declares it: `wrangler deploy` and `ipshard edge` take both. */
export async function bundleEdge({ root, dist }: Places): Promise<Inputs> {
  const declaration = await readFile(join(root, "wrangler.toml"), "utf8");
  const main = /^main = "(.+)"$/m.exec(declaration)?.[1];
  if (main === undefined) throw new Error("wrangler.toml names no entry module");
  const directory = join(dist, "edge");
  const described = join(dist, "edge-inputs.json");
  await bundleWorker(join(root, main), [
    `--outfile=${join(directory, "worker.js")}`,
    `--metafile=${described}`,
  ]);
  const { inputs } = JSON.parse(await readFile(described, "utf8")) as Metafile;
  await rm(described);
  const placed = declaration
    .replace(main, "worker.js")
    .replace(/^directory = ".+"$/m, 'directory = "../dashboard"');
  // What is to be built is built: of the sources nothing is packed.
  await writeFile(join(directory, "wrangler.toml"), placed.replace(/^\[build\]\n(.+\n)+\n/m, ""));
  return inputs;
}

/** The dashboard, for a browser. */
export async function bundlePage({ root, dist }: Places): Promise<Inputs> {
  const outDir = join(dist, "dashboard");
  const built = await buildWithVite({
    configFile: join(root, "src/dashboard/vite.config.ts"),
    logLevel: "warn",
    build: { outDir, emptyOutDir: true },
  });
  const outputs = [built].flat().flatMap((each) => ("output" in each ? each.output : []));
  const modules = outputs.flatMap((output) => (output.type === "chunk" ? output.moduleIds : []));
  // Some are made up while it is built, and are in no file.
  const files = modules.filter((id) => isAbsolute(id)).map((id) => relative(root, id.replace(/\?.*$/, "")));
  return Object.fromEntries(files.map((file) => [file, { bytes: 0, imports: [] }]));
}

/** The SDK, small enough for a page. */
export async function bundleSdk({ root, dist }: Places): Promise<Inputs> {
  const common: BuildOptions = {
    absWorkingDir: root,
    outdir: join(dist, "sdk"),
    minify: true,
    lineLimit: 160,
    // What is listed and then not used may be left out.
    pure: ["Object.keys"],
    plugins: [apart({ "egress.ts": "./egress.js", "open-websocket.ts": "./open-websocket.js" })],
  };
  const anywhere = await bundled({
    ...common,
    entryPoints: { egress: "src/sdk/egress.ts" },
    platform: "neutral",
    mainFields: ["module", "main"],
    target: ANYWHERE_TARGET,
  });
  const forNode = await bundled({
    ...common,
    entryPoints: {
      "egress-for-node": "src/sdk/node/egress-for-node.ts",
      "node-socket": "src/sdk/node/node-socket.ts",
    },
    platform: "node",
    target: NODE_TARGET,
  });
  const webSockets = await bundled({
    ...common,
    entryPoints: { "open-websocket": "src/sdk/node/open-websocket.ts" },
    platform: "node",
    target: NODE_TARGET,
    banner: { js: REQUIRE },
    plugins: [clientOfWs],
  });
  return { ...anywhere, ...forNode, ...webSockets };
}

/** The stand-in: for tests in Node, for tests in workerd, and as the Worker that both may start. */
export async function bundleTesting({ root, dist }: Places): Promise<Inputs> {
  const common: BuildOptions = { absWorkingDir: root, outdir: join(dist, "testing"), splitting: false };
  const forNode = await bundled({
    ...common,
    entryPoints: { testing: "src/testing/node/testing.ts" },
    platform: "node",
    target: NODE_TARGET,
    banner: { js: REQUIRE },
  });
  const forWorkers = await bundled({
    ...common,
    entryPoints: {
      control: "src/testing/edge/control.ts",
      "stand-in-worker": "src/testing/worker/stand-in-worker.ts",
    },
    platform: "neutral",
    mainFields: ["module", "main"],
    external: ["cloudflare:*"],
    target: ANYWHERE_TARGET,
  });
  return { ...forNode, ...forWorkers };
}

async function bundled(options: BuildOptions): Promise<Inputs> {
  const { metafile } = await build({
    bundle: true,
    format: "esm",
    splitting: true,
    legalComments: "none",
    logLevel: "warning",
    ...options,
    plugins: [...(options.plugins ?? []), withoutExtras],
    metafile: true,
  });
  return metafile.inputs;
}

/**
 * Of `ws` the client alone. Its index brings a server, too; and the SDK never offers to compress, where
 * `ws` takes no extension that was not offered.
 */
const clientOfWs: Plugin = {
  name: "client-of-ws",
  setup: (bundling) => {
    const resolveDir = dirname(createRequire(import.meta.url).resolve("ws"));
    const modules: Readonly<Record<string, string>> = {
      ws: `export { default as WebSocket } from "./lib/websocket.js";`,
      "./permessage-deflate": `module.exports = class { static extensionName = "permessage-deflate"; };`,
    };
    const filter = /^(ws|\.\/permessage-deflate)$/;
    bundling.onResolve({ filter }, ({ path }) => ({ path, namespace: "client-of-ws" }));
    bundling.onLoad({ filter, namespace: "client-of-ws" }, ({ path }) => ({
      contents: modules[path]!,
      resolveDir,
    }));
  },
};

/**
 * What `ws` would make use of if it were installed somewhere above: nobody has tested that, and where a
 * package lies in a folder that others can write they could put it there. [PK8]
 */
const withoutExtras: Plugin = {
  name: "without-extras",
  setup: (bundling) => {
    const filter = /^(bufferutil|utf-8-validate)$/;
    bundling.onResolve({ filter }, ({ path }) => ({ path, namespace: "without-extras" }));
    bundling.onLoad({ filter: /.*/, namespace: "without-extras" }, ({ path }) => ({
      contents: `throw new Error("${path} is not used");`,
    }));
  },
};

/** Files that are bundled by themselves, and imported from beside. */
function apart(files: Readonly<Record<string, string>>): Plugin {
  return {
    name: "apart",
    setup: (bundling) => {
      bundling.onResolve({ filter: /\.ts$/ }, ({ kind, path }) => {
        const beside = files[basename(path)];
        return kind === "entry-point" || beside === undefined ? null : { path: beside, external: true };
      });
    },
  };
}
