/** `npm run build`: makes of the sources what is packed, in `dist/` or in the directory that is named. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ownFile } from "../process/own-files.ts";
import { buildPrograms } from "../router/kernel/program-objects.ts";
import { bundleEdge, bundlePage, bundlePrograms, bundleSdk, bundleTesting, type Places } from "./bundles.ts";
import { declare } from "./declarations.ts";
import { noticesOf } from "./notices.ts";
import { putInPlace } from "./put-in-place.ts";
import { stageSdkPackage } from "./sdk-package.ts";

const NOTICES = "THIRD-PARTY-NOTICES.txt";

async function buildAll(places: Places): Promise<void> {
  const { root, dist } = places;
  const [programs, edge, page, sdk, testing] = await Promise.all([
    bundlePrograms(places),
    bundleEdge(places),
    bundlePage(places),
    bundleSdk(places),
    bundleTesting(places),
    buildPrograms(join(dist, "xdp")),
    declare({
      root,
      entries: ["src/sdk/egress.ts", "src/sdk/node/node-socket.ts"],
      outdir: join(dist, "sdk/types"),
    }),
    declare({ root, entries: ["src/testing/node/testing.ts"], outdir: join(dist, "testing/types") }),
  ]);
  await writeFile(
    join(dist, NOTICES),
    noticesOf(root, { ...programs, ...edge, ...page, ...sdk, ...testing }),
  );
  await writeFile(join(dist, "sdk", NOTICES), noticesOf(root, sdk));
  await stageSdkPackage(places);
}

const dist = resolve(process.argv[2] ?? ownFile("dist"));
await mkdir(dist, { recursive: true });
const fresh = await mkdtemp(join(dist, ".fresh-"));
await buildAll({ root: ownFile("."), dist: fresh });
await putInPlace(fresh, dist);
