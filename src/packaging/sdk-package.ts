/** The SDK as a package of its own, for who has no use for servers and a command line. [PK4] */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Places } from "./bundles.ts";

/** As much of a manifest as is read and written here. */
interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly repository?: unknown;
  readonly publishConfig: unknown;
  readonly exports: Readonly<Record<string, unknown>>;
}

const NAME = "@ipshard/sdk";
/** What it exports is what the whole exports under the same names. */
const ENTRIES = [".", "./node-socket", "./package.json"];

/** Puts it together from what was built for the whole. */
export async function stageSdkPackage({ root, dist }: Places): Promise<void> {
  const whole = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  const directory = join(dist, "sdk-package");
  await cp(join(dist, "sdk"), join(directory, "dist/sdk"), { recursive: true });
  await cp(join(root, "LICENSE"), join(directory, "LICENSE"));
  await cp(join(root, "src/packaging/sdk-readme.md"), join(directory, "README.md"));
  await writeFile(join(directory, "package.json"), `${JSON.stringify(manifestOf(whole), null, 2)}\n`);
}

function manifestOf(whole: Manifest): object {
  const { version, license, repository, publishConfig, exports } = whole;
  return {
    name: NAME,
    version,
    description: "fetch and TCP through a shared egress address: the SDK of ipshard.",
    license,
    ...(repository === undefined ? {} : { repository }),
    files: ["dist"],
    type: "module",
    sideEffects: false,
    exports: Object.fromEntries(ENTRIES.map((entry) => [entry, exports[entry]])),
    publishConfig,
    // Of Node no more is needed than `fetch` and streams; browsers and Workers have no version here.
    engines: { node: ">=22" },
  };
}
