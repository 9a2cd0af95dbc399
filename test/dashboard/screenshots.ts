/**
 * `npm run screenshots`: the dashboard before a whole ipshard on this machine, with several hosts and traffic
 * between real processes. All views, light and dark, wide and narrow, go into `.screenshots`; the two that README
 * shows into `docs/pictures`.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Cluster, delay, EGRESS_IP, POOL } from "../e2e/cluster.ts";
import { pathOf } from "../e2e/client-programs.ts";
import { DashboardBrowser, type DashboardPage, NARROW, WIDE } from "./dashboard-browser.ts";
import { PortTaker } from "./port-taker.ts";
import { VIEWS } from "./view-tour.ts";

const SHOWN = join(import.meta.dirname, "../../docs/pictures");
const HOSTS = ["ams-1", "ams-2", "fra-1", "fra-2", "waw-1", "waw-2"];
/** They hold ports and send nothing, as hosts at rest do. */
const RESTING = ["mad-1", "par-1", "par-2"];
const MORE_IPS = ["127.0.0.11", "127.0.0.12"];
const TENANTS = ["shop", "crawler", "billing"];
/** What they take, as orders of two, of which every fifth block is given back. */
const TAKEN_ORDERS = [
  11, 9, 10, 8, 11, 9, 10, 7, 11, 10, 9, 8, 10, 11, 7, 9, 10, 8, 11, 9, 10, 11, 8, 10, 9, 11, 10, 9,
];
const TRAFFIC_MS = Number(process.env["TRAFFIC_SECONDS"] ?? 200) * 1_000;
/** Requests that wait for their answers, each for so long, and at least half of it: hosts wait for 30 s. */
const HELD_MS = 24_000;
const HELD_COUNT = 2_000;
/** Where nobody may go. */
const PROHIBITED = "http://10.1.2.3/";

if (pathOf("chromium") === null) {
  console.error("Chromium is needed, and is not in the path.");
  process.exit(1);
}
await mkdir(SHOWN, { recursive: true });
const cluster = await Cluster.start({
  hosts: HOSTS,
  settings: {
    quarantineMs: 1_200_000,
    firstBlockOrder: 10,
    minPortsPerHost: 2_048,
    minHostsPerIp: HOSTS.length,
    hostSilenceMs: 10_000,
  },
});
const browser = await DashboardBrowser.start();
try {
  const traffic = await startTraffic();
  console.log(`${HOSTS.length} hosts are busy for ${TRAFFIC_MS / 1_000} s, then the pictures are taken.`);
  await delay(TRAFFIC_MS);
  for (const scheme of ["light", "dark"] as const)
    for (const size of [WIDE, NARROW]) await takePictures(scheme, size);
  await traffic.stop();
} finally {
  await browser.stop();
  await cluster.stop();
}

async function takePictures(scheme: "light" | "dark", size: typeof WIDE): Promise<void> {
  const page = await browser.open({ scheme, size });
  await page.signIn(cluster.edgeUrl, await cluster.token("admin", "anna", ["*"]));
  const [block] = await cluster.blocksOf(HOSTS[0]!);
  const sight = { pool: POOL, ip: EGRESS_IP, port: block!.base, url: cluster.originUrl("/seen") };
  for (const { name, open } of VIEWS) {
    await open(page, sight);
    await settled(page, name, sight.port);
    const width = size === WIDE ? "wide" : "narrow";
    await page.picture(`real-${name}-${width}-${scheme}`);
    if (size !== WIDE) continue;
    if (name === "fleet" && scheme === "light") await page.window(join(SHOWN, "dashboard-fleet.png"));
    if (name === "map" && scheme === "dark") await page.window(join(SHOWN, "dashboard-map.png"));
  }
  await page.close();
}

/** What comes a second later is in the picture too. */
async function settled(page: DashboardPage, view: string, port: number): Promise<void> {
  if (view === "map") {
    await page.page.getByLabel("Go to port").fill(String(port));
    await page.page.getByRole("button", { name: "Go", exact: true }).click();
  }
  await delay(view === "log" || view === "fleet" ? 5_000 : 1_500);
}

/** Requests of several tenants, some of which are refused; connections that stay; hosts at rest; a drain; a host that dies. */
async function startTraffic(): Promise<{ stop: () => Promise<void> }> {
  for (const ip of MORE_IPS) await cluster.api.putIp({ pool: POOL, ip });
  const takers = await Promise.all(
    RESTING.map(async (host) =>
      PortTaker.join(cluster.edgeUrl, EGRESS_IP, await cluster.token("host", host)),
    ),
  );
  for (const [at, order] of TAKEN_ORDERS.entries()) {
    const taker = takers[at % takers.length]!;
    const block = await taker.take(order).catch(() => null);
    if (block !== null && at % 5 === 4) await taker.giveBack(block);
  }
  const over = new AbortController();
  const line = async (at: number): Promise<void> => {
    const headers = {
      "egress-authorization": `Bearer ${await cluster.token("client", TENANTS[at % TENANTS.length]!)}`,
    };
    for (let count = 0; !over.signal.aborted; count += 1) {
      const url = count % 9 === at ? PROHIBITED : cluster.originUrl(`/seen?${count}`, count % 4);
      await fetch(cluster.through(url), { headers })
        .then((answer) => answer.text())
        .catch(() => "");
      await delay(40 + ((count * 7919) % 60));
    }
  };
  const lines = TENANTS.map((_, at) => line(at));
  const waiting = async (at: number): Promise<void> => {
    const headers = { ...(await cluster.clientHeaders()), egress: `ip="${EGRESS_IP}"` };
    const url = cluster.through(cluster.originUrl("/hold", at % 5 === 4 ? 1 : 0));
    await delay(at * 5);
    while (!over.signal.aborted) {
      const signal = AbortSignal.timeout(Math.round(HELD_MS * (0.5 + Math.random() / 2)));
      await fetch(url, { headers, signal })
        .then((answer) => answer.text())
        .catch(() => delay(500));
    }
  };
  lines.push(...Array.from({ length: HELD_COUNT }, (_, at) => waiting(at)));
  // Two of them leave; four are enough from now on.
  await cluster.api.putPool({ pool: POOL, settings: { minHostsPerIp: 4 } });
  await cluster.api.drainHost({ pool: POOL, host: "fra-2" });
  await cluster.stopHost("waw-2", "SIGKILL");
  return {
    stop: async () => {
      over.abort();
      for (const taker of takers) taker.close();
      await cluster.askOrigin("release");
      await Promise.all(lines);
    },
  };
}
