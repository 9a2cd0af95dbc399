/** The dashboard's views in a browser before an edge that is made up: for everybody to use, and whatever it is told. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { placePage } from "../../src/cli/edge/page-build.ts";
import { ownFile } from "../../src/process/own-files.ts";
import { DashboardBrowser, NARROW, WIDE } from "../dashboard/dashboard-browser.ts";
import { FAKE_TOKEN, FakeEdge } from "../dashboard/fake-edge.ts";
import { HOSTILE_STRINGS } from "../dashboard/hostile-strings.ts";
import { MadePool } from "../dashboard/made-pool.ts";
import { VIEWS } from "../dashboard/view-tour.ts";
import { until } from "./cluster.ts";

const POOL = "eu";

let browser: DashboardBrowser;

beforeAll(async () => {
  await placePage(ownFile("dist/dashboard"), (sentence) => expect.fail(sentence));
  browser = await DashboardBrowser.start();
});
afterAll(async () => {
  await browser?.stop();
});

test.each([
  ["wide", "light"],
  ["wide", "dark"],
  ["narrow", "light"],
  ["narrow", "dark"],
] as const)("[PG14] every view, %s and %s, is for everybody: axe finds nothing", async (width, scheme) => {
  const pool = new MadePool({ pool: POOL, hostCount: 12, addressCount: 6 });
  const edge = await FakeEdge.start({ pool, changesPerSecond: 2 });
  const page = await browser.open({ size: width === "wide" ? WIDE : NARROW, scheme });
  const look = async (view: string): Promise<void> => {
    const name = `${view}-${width}-${scheme}`;
    await page.picture(name);
    expect(await page.sidewaysPixels(), name).toBeLessThanOrEqual(0);
    expect(await page.findings(), name).toEqual([]);
  };
  try {
    await page.visit(edge.url);
    await page.page.getByLabel("Token").waitFor();
    await look("sign-in");
    await page.signIn(edge.url, FAKE_TOKEN);
    const [ip, { blocks }] = [...pool.tables][0]!;
    const sight = { pool: POOL, ip, port: blocks[0]!.base, url: "https://example.com/" };
    for (const { name, open } of VIEWS) {
      await open(page, sight);
      await look(name);
    }
  } finally {
    await page.close();
    await edge.close();
  }
});

/** A pool in which everything that has a name has a hostile one. */
function hostilePool(): MadePool {
  const [first] = HOSTILE_STRINGS;
  const count = HOSTILE_STRINGS.length;
  const pool = new MadePool({
    pool: POOL,
    hostCount: count,
    addressCount: 2,
    hostsPerAddress: count,
    hostNames: HOSTILE_STRINGS,
  });
  pool.ips.forEach((entry, at) => {
    pool.ips[at] = {
      ...entry,
      country: first,
      advertised: first,
      sites: [...HOSTILE_STRINGS],
      tags: [...HOSTILE_STRINGS],
      busiestDestination: { ...entry.busiestDestination!, ip: first },
    };
  });
  pool.hosts.forEach((entry, at) => {
    pool.hosts[at] = { ...entry, gateway: HOSTILE_STRINGS[3], site: first };
  });
  pool.routers.forEach((entry, at) => {
    pool.routers[at] = { ...entry, router: HOSTILE_STRINGS[at]! };
  });
  return pool;
}

/** What a request that was tried came to, and who held a port, in the same words. */
function hostileAnswers(ip: string) {
  const [first] = HOSTILE_STRINGS;
  const all = HOSTILE_STRINGS.join(" ");
  const attempt = {
    requestId: first,
    tookMs: 1,
    status: null,
    answered: false,
    refusal: { code: first, title: all, detail: all, remedy: all },
    egress: { ip, advertised: first, port: 1024, host: first },
    block: { firstPort: 1024, lastPort: 1087, epoch: 1 },
    routers: HOSTILE_STRINGS.map((router) => ({ router, live: true, acknowledged: 1, knows: false })),
    timings: { edgeMs: 1, hostMs: 1, resolveMs: null, dialMs: null, tlsMs: null, firstByteMs: null },
    headers: HOSTILE_STRINGS.map((text) => [text, text]),
    body: all,
    attempts: HOSTILE_STRINGS.map((text) => ({ host: text, code: text })),
  };
  const lease = { pool: first, firstPort: 1024, lastPort: 1087, sinceMs: 0, untilMs: null, end: null };
  const holders = {
    ip: first,
    port: 1024,
    atMs: 0,
    throughMs: 0,
    state: "held",
    reason: first,
    holders: HOSTILE_STRINGS.map((host, epoch) => ({
      ...lease,
      host,
      epoch,
      flows: { state: "refused", detail: host, log: null },
    })),
    before: null,
    after: null,
    knownSinceMs: 0,
  };
  return { attempt, holders };
}

test("[PG13] what is hostile is shown as text, wherever it comes from, and never executed", async () => {
  const pool = hostilePool();
  const [ip] = pool.tables.keys();
  const edge = await FakeEdge.start({ pool, ...hostileAnswers(ip!) });
  const page = await browser.open();
  const expectShown = async (where: string): Promise<void> => {
    // As far as it can be shown: some of it is cut off, and what is no character is replaced.
    const starts = HOSTILE_STRINGS.map((hostile) => hostile.slice(0, 8));
    await until(`${where} shows all of it`, async () => {
      const text = String(await page.run("document.body.textContent"));
      expect(starts.filter((start) => !text.includes(start))).toEqual([]);
      return true;
    });
    const made = await page.run(
      `[...document.querySelectorAll("#root script, iframe, img, object, [onload], [onerror], [onfocus]"),
        ...[...document.links].filter(({ protocol }) => protocol !== "http:")].map((each) => each.outerHTML)`,
    );
    expect(made, where).toEqual([]);
  };
  try {
    await page.signIn(edge.url, FAKE_TOKEN);
    const sight = { pool: POOL, ip: ip!, port: 1024, url: "https://example.com/" };
    for (const { name, open } of VIEWS.filter((view) => view.name !== "drain" && view.name !== "plan")) {
      if (name === "log") edge.tellPool({ type: "decisions", decisions: [], lostCount: 0 });
      await open(page, sight);
      if (name === "log") {
        const decisions = HOSTILE_STRINGS.map((text) => ({
          atMs: 0,
          decision: "refused",
          code: text,
          host: text,
          tenant: text,
          client: text,
          requestId: text,
          ip: text,
          kind: text,
        }));
        edge.tellPool({ type: "decisions", decisions, lostCount: 1 });
        await page.untilHeard("decisions", ({ lostCount }) => lostCount === 1);
      }
      if (name !== "time") await expectShown(name);
    }
    await page.show(`#/pools/${POOL}`);
    for (const host of HOSTILE_STRINGS) {
      const row = page.page
        .getByTestId("hosts")
        .getByRole("rowheader")
        .filter({ hasText: host.slice(0, 8) });
      await row.first().getByRole("button").click();
      await page.page.getByRole("button", { name: "Remove …" }).click();
      expect(await page.page.getByRole("dialog").last().textContent()).toContain(host.slice(0, 8));
      await page.page.keyboard.press("Escape");
      await page.page.keyboard.press("Escape");
    }
    // Fragments are anybody's to write.
    for (const hostile of HOSTILE_STRINGS) {
      for (const way of ["#/pools/", `#/pools/${POOL}/map/`, "#/who?ip=", "#/"]) {
        await page.show(way + hostile.toWellFormed());
      }
      await page.heading().waitFor();
    }
  } finally {
    await page.close();
    await edge.close();
  }
});
