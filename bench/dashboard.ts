/**
 * The dashboard in a browser: how long until it is there, and how large it is; how soon a grant and a drain are
 * seen; and how smoothly it is drawn while 1,000 addresses and 1,000 hosts are listed and one address changes
 * a hundred times a second. Frames are counted by the browser's own trace, and by the page.
 */
import type { Browser, Page } from "playwright-core";
import { DashboardBrowser } from "../test/dashboard/dashboard-browser.ts";
import { FAKE_TOKEN, FakeEdge } from "../test/dashboard/fake-edge.ts";
import { MadePool } from "../test/dashboard/made-pool.ts";
import { PortTaker } from "../test/dashboard/port-taker.ts";
import { Cluster, EGRESS_IP, POOL } from "../test/e2e/cluster.ts";
import { compared, median, plain, quantile, type Row } from "./report.ts";

const LISTED = 1_000;
const CHANGES_PER_SECOND = 100;
const WATCHED_MS = 10_000;
const OPENINGS = 10;
const CHANGES = 20;
const FRAMES_PER_SECOND = 60;
/** A frame that came so late was seen to be missing. */
const LONG_FRAME_MS = 1.5 * (1_000 / FRAMES_PER_SECOND);

export async function measureDashboard(): Promise<Row[]> {
  const browser = await DashboardBrowser.start();
  try {
    return [...(await measureRunning(browser)), ...(await measureCrowd(browser))];
  } finally {
    await browser.stop();
  }
}

/** Before a running stack. */
async function measureRunning(browser: DashboardBrowser): Promise<Row[]> {
  const cluster = await Cluster.start({ hosts: ["h1"], settings: { quarantineMs: 1_000 } });
  try {
    const token = await cluster.token("admin", "bench");
    const opened: Opening[] = [];
    for (let count = 0; count < OPENINGS; count += 1)
      opened.push(await open(browser, cluster.edgeUrl, token));
    const of = (name: keyof Opening): number[] => opened.map((each) => each[name]);
    const granted = await grantsSeen(browser, cluster, token);
    const drained = await drainsSeen(browser, cluster, token);
    return [
      plain("first paint, nothing kept by the browser: median", "ms", median(of("paintMs"))),
      plain("first paint: worst", "ms", Math.max(...of("paintMs"))),
      plain("signed in, until the fleet is there: median", "ms", median(of("fleetMs"))),
      plain("over the wire until then", "KB", median(of("byteCount")) / 1_000),
      plain("a grant is painted after: median", "ms", median(granted)),
      plain("a grant is painted after: worst", "ms", Math.max(...granted)),
      plain("a drain is shown after: median", "ms", median(drained)),
      plain("a drain is shown after: worst", "ms", Math.max(...drained)),
    ];
  } finally {
    await cluster.stop();
  }
}

interface Opening {
  readonly paintMs: number;
  readonly fleetMs: number;
  readonly byteCount: number;
}

/** A page that is opened for the first time. */
async function open(browser: DashboardBrowser, edge: string, token: string): Promise<Opening> {
  const opened = await browser.open();
  await opened.visit(edge);
  await opened.page.getByLabel("Token").fill(token);
  const paintMs = (await opened.run(FIRST_PAINT)) as number;
  const bytesBefore = (await opened.run(BYTES)) as number;
  const sinceMs = Date.now();
  await opened.page.getByRole("button", { name: "Sign in" }).click();
  await opened.page.getByTestId("hosts").getByRole("rowheader").first().waitFor();
  const fleetMs = Date.now() - sinceMs;
  const byteCount = Math.max(bytesBefore, (await opened.run(BYTES)) as number);
  await opened.close();
  return { paintMs, fleetMs, byteCount };
}

/** It is noted a moment after it was painted. */
const FIRST_PAINT = `new Promise((resolve) => {
  const look = () => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    if (paint === undefined) setTimeout(look, 10);
    else resolve(paint.startTime);
  };
  look();
})`;

const BYTES = `["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
  .reduce((sum, { transferSize }) => sum + transferSize, 0)`;

/** From when ports are asked for until the map shows them, by the clock that all have. */
async function grantsSeen(browser: DashboardBrowser, cluster: Cluster, token: string): Promise<number[]> {
  const opened = await browser.open();
  await opened.signIn(cluster.edgeUrl, token, `#/pools/${POOL}/map/${EGRESS_IP}`);
  await opened.page.locator("[data-host]").first().waitFor();
  const taker = await PortTaker.join(cluster.edgeUrl, EGRESS_IP, await cluster.token("host", "taker"));
  const seenMs: number[] = [];
  for (let count = 0; count < CHANGES; count += 1) {
    const paint = opened.run(nextOf(`document.querySelector("[data-testid=port-map]").dataset.painted`));
    const askedMs = Date.now();
    await taker.take(6);
    seenMs.push((await paint) - askedMs);
  }
  taker.close();
  await opened.close();
  return seenMs;
}

/** From when a drain is ordered until the fleet shows it. */
async function drainsSeen(browser: DashboardBrowser, cluster: Cluster, token: string): Promise<number[]> {
  const opened = await browser.open();
  await opened.signIn(cluster.edgeUrl, token);
  await opened.page.getByTestId("hosts").getByRole("rowheader").first().waitFor();
  const seenMs: number[] = [];
  for (let count = 0; count < CHANGES; count += 1) {
    const shown = opened.run(
      nextOf(`/drain/.test(document.querySelector("[data-testid=hosts]").textContent)`),
    );
    const orderedMs = Date.now();
    const order = count % 2 === 0 ? cluster.api.drainHost : cluster.api.resumeHost;
    await order({ pool: POOL, host: "h1" });
    seenMs.push((await shown) - orderedMs);
  }
  await opened.close();
  return seenMs;
}

/** Looks in each frame until this is other; when that was, by the clock. */
function nextOf(expression: string): string {
  return `new Promise((resolve) => {
    const first = ${expression};
    const look = () => (${expression} === first ? requestAnimationFrame(look) : resolve(Date.now()));
    look();
  })`;
}

/** Before an edge that is made up, since a thousand hosts have no room here. */
async function measureCrowd(browser: DashboardBrowser): Promise<Row[]> {
  const pool = new MadePool({ pool: "eu", hostCount: LISTED, addressCount: LISTED });
  const edge = await FakeEdge.start({ pool, changesPerSecond: CHANGES_PER_SECOND });
  try {
    const rows: Row[] = [];
    for (const [view, fragment] of [
      ["fleet", "#/pools/eu"],
      ["port map", "#/pools/eu/map/192.0.2.1"],
    ] as const) {
      // No listener for what it hears: that would be measured too.
      const page = await browser.plainPage();
      await page.goto(`${edge.url}/dashboard${fragment}`);
      await page.getByLabel("Token").fill(FAKE_TOKEN);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.locator("#content h1").waitFor();
      await page.waitForTimeout(2_000);
      const empty = await browser.plainPage();
      await empty.goto("about:blank");
      // Beside a page with nothing in it, in turn: this machine does not always draw sixty times a second.
      const idle = await framesOf(empty);
      await page.bringToFront();
      const seen = await framesOf(page);
      for (const each of [page, empty]) await each.context().close();
      rows.push(
        compared({
          case: `${view}: frames a second`,
          unit: "frames/s",
          better: "more",
          ours: seen.perSecond,
          peer: idle.perSecond,
          peerName: "an empty page",
          goal: 0.95,
        }),
        plain(`${view}: frames later than ${LONG_FRAME_MS.toFixed(0)} ms`, "frames", seen.longCount),
        plain(`${view}: the same of the empty page`, "frames", idle.longCount),
        plain(`${view}: frames with something new, by the trace`, "frames/s", seen.drawnPerSecond),
        plain(`${view}: between frames, 99 of 100`, "ms", seen.almostAllMs),
        plain(`${view}: longest task, processor time`, "ms", seen.longestTaskMs),
        plain(`${view}: tasks of the page, processor time`, "%", seen.busyPercent),
      );
    }
    return rows;
  } finally {
    await edge.close();
  }
}

interface Frames {
  readonly perSecond: number;
  readonly drawnPerSecond: number;
  readonly longCount: number;
  readonly almostAllMs: number;
  readonly longestTaskMs: number;
  readonly busyPercent: number;
}

interface TraceEvent {
  readonly name: string;
  /** Processor time, in microseconds. */
  readonly tdur?: number;
  readonly tid: number;
  readonly pid: number;
}

/** What is drawn for a while. */
async function framesOf(page: Page): Promise<Frames> {
  const browser: Browser = page.context().browser()!;
  await browser.startTracing(page, {
    categories: [
      "devtools.timeline",
      "disabled-by-default-devtools.timeline",
      "disabled-by-default-devtools.timeline.frame",
    ],
  });
  const gapsMs = await page.evaluate<number[]>(`new Promise((resolve) => {
    const gaps = [];
    const start = performance.now();
    let last = start;
    const step = (at) => {
      gaps.push(at - last);
      last = at;
      if (at - start < ${WATCHED_MS}) requestAnimationFrame(step);
      else resolve(gaps.slice(1));
    };
    requestAnimationFrame(step);
  })`);
  const trace = await browser.stopTracing();
  const { traceEvents } = JSON.parse(trace.toString("utf8")) as { readonly traceEvents: TraceEvent[] };
  const named = (name: string): TraceEvent[] => traceEvents.filter((event) => event.name === name);
  const [main] = named("FireAnimationFrame");
  const tasksMs = traceEvents
    .filter(({ name, pid, tid }) => name.endsWith("RunTask") && pid === main?.pid && tid === main.tid)
    .map(({ tdur = 0 }) => tdur / 1_000);
  const totalMs = gapsMs.reduce((sum, gap) => sum + gap, 0);
  return {
    perSecond: (gapsMs.length / totalMs) * 1_000,
    drawnPerSecond: (named("DrawFrame").length / totalMs) * 1_000,
    longCount: gapsMs.filter((gap) => gap > LONG_FRAME_MS).length,
    almostAllMs: quantile(gapsMs, 0.99),
    longestTaskMs: Math.max(0, ...tasksMs),
    busyPercent: (tasksMs.reduce((sum, ms) => sum + ms, 0) / totalMs) * 100,
  };
}
