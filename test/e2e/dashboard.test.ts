/** The dashboard in a browser before a running stack: who may look, and that what is seen is true. */
import { once } from "node:events";
import { WebSocket } from "ws";
import type { Locator } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WatchedHost } from "../../src/core/live-view.ts";
import type { ApiRoute } from "../../src/api/route-shapes.ts";
import { ROUTES } from "../../src/api/routes.ts";
import { CountedEdge } from "../dashboard/counted-edge.ts";
import { DashboardBrowser, type DashboardPage } from "../dashboard/dashboard-browser.ts";
import { HOSTILE_STRINGS } from "../dashboard/hostile-strings.ts";
import { PortTaker } from "../dashboard/port-taker.ts";
import { storedRows } from "../dashboard/stored-rows.ts";
import { sampledPorts, shownBy, shownColours, trueColours } from "../dashboard/true-picture.ts";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";

const HOSTS = ["h1", "h2", "h3"];
const OTHER_IP = "127.0.0.11";
const FLEET = `#/pools/${POOL}`;
const mapOf = (ip: string): string => `#/pools/${POOL}/map/${ip}`;
/** What keeps a connection, which no object wakes up for. */
const BEAT = /^\w+ (?:> ping|< pong)$/;

let cluster: Cluster;
let browser: DashboardBrowser;

beforeAll(async () => {
  [cluster, browser] = await Promise.all([
    Cluster.start({
      hosts: HOSTS,
      settings: { hostSilenceMs: 5_000, quarantineMs: 60_000, leaseDurationMs: 86_400_000 },
    }),
    DashboardBrowser.start(),
  ]);
  await cluster.api.putIp({ pool: POOL, ip: OTHER_IP });
});
afterAll(async () => {
  await browser?.stop();
  await cluster?.stop();
});

async function signedIn(fragment = "", role: "admin" | "viewer" = "admin"): Promise<DashboardPage> {
  const page = await browser.open();
  await page.signIn(cluster.edgeUrl, await cluster.token(role, role), fragment);
  await page.untilLink("live");
  return page;
}

/** The picture of an address is right at a thousand ports, by the table as the API answers it. */
async function expectTrue(page: DashboardPage, ip: string, seed: number): Promise<void> {
  const ports = sampledPorts(1_000, seed);
  await until("the picture is the table's", async () => {
    const table = await cluster.api.getIp({ ip });
    expect(await shownColours(page, ports)).toEqual(trueColours(ports, ip, table, await shownBy(page)));
    return true;
  });
}

/** The name and value of the session's cookie, as a thief would have them. */
async function cookieOf(page: DashboardPage): Promise<string> {
  const [cookie] = await page.context.cookies();
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/" });
  return `${cookie!.name}=${cookie!.value}`;
}

/** Of a WebSocket of the page opened with these headers: the status that refuses it, or 101. */
async function upgradeStatus(path: string, headers: Record<string, string>): Promise<number> {
  const socket = new WebSocket(cluster.edgeUrl.replace(/^http/, "ws") + path, { headers });
  try {
    return await new Promise((resolve, reject) => {
      socket.on("unexpected-response", (_, { statusCode }) => resolve(statusCode!));
      socket.on("open", () => resolve(101));
      socket.on("error", reject);
    });
  } finally {
    socket.terminate();
  }
}

// First, while the hosts have nothing else to say. Their leases are so long that none is renewed meanwhile.
test("[LV1] nobody looking costs not one message and not one row", async () => {
  const way = await CountedEdge.start(cluster.edgeUrl);
  await cluster.startHost("h4", [`--edge=${way.url}`]);
  const isBeat = (said: string): boolean => BEAT.test(said);
  /** Of two sockets that beat at once, and once more, each with its answer. */
  const beatCount = 6;
  const untilQuiet = (): Promise<void> =>
    until("nothing but beats is said", () => way.said.slice(-beatCount).every(isBeat), 60_000);
  const rows = (): Promise<string> => storedRows(cluster.directory, ["EgressPool", "EgressIp"]);
  const moreBeats = async (): Promise<void> => {
    const saidCount = way.said.length;
    await until("more beats", () => way.said.length >= saidCount + beatCount);
    expect(way.said.slice(saidCount).filter((said) => !isBeat(said))).toEqual([]);
  };
  await cluster.untilServing([...HOSTS, "h4"]);
  await untilQuiet();
  let before = "";
  // Hosts have yet to lease what they were assigned last.
  await until("no row changes", async () => {
    before = await rows();
    await moreBeats();
    return (await rows()) === before;
  });
  expect(before).toContain(`actor_name=${EGRESS_IP}`);

  const saidBefore = way.said.length;
  const page = await signedIn(mapOf(EGRESS_IP));
  await page.untilHeard("watched", ({ hosts }) => "h4" in hosts);
  await page.untilHeard("address", () => true);
  await page.close();
  await untilQuiet();
  const said = way.said.slice(saidBefore).filter((each) => !isBeat(each));
  expect(new Set(said)).toEqual(new Set(["pools < watch", "pools > watched"]));
  expect(await rows()).toBe(before);
  await moreBeats();
  expect(await rows()).toBe(before);
  await cluster.stopHost("h4", "SIGTERM");
  await way.stop();
});

test("[PG1] [LV5] [LV7] the port map is the true table, and follows a grant and a drain by what it is told", async () => {
  const page = await signedIn(mapOf(EGRESS_IP));
  await expectTrue(page, EGRESS_IP, 1);
  // How much of a block is in use is seen, too.
  const headers = await cluster.clientHeaders();
  const held = Array.from({ length: 40 }, () =>
    fetch(cluster.through(cluster.originUrl("/hold")), { headers }),
  );
  await page.untilHeard("watched", ({ hosts }) =>
    Object.values<WatchedHost>(hosts).some(({ addresses }) =>
      addresses.some(({ inUseCount }) => inUseCount >= 5),
    ),
  );
  await expectTrue(page, EGRESS_IP, 7);
  // Of all that a host leases, the spare among it, it tells how much is in use.
  await until("every leased block is told", async () => {
    const { watched } = await shownBy(page);
    const told = HOSTS.flatMap(
      (host) => watched.get(host)?.addresses.find(({ ip }) => ip === EGRESS_IP)?.blocks ?? [],
    );
    const leased = (await Promise.all(HOSTS.map((host) => cluster.blocksOf(host)))).flat();
    expect(new Set(told.map(([base]) => base))).toEqual(new Set(leased.map(({ base }) => base)));
    return leased.length > HOSTS.length;
  });
  await cluster.askOrigin("release");
  await Promise.all((await Promise.all(held)).map((answer) => answer.text()));

  const askedBefore = page.asked.length;
  const taker = await PortTaker.join(cluster.edgeUrl, EGRESS_IP, await cluster.token("host", "taker"));
  const block = await taker.take(12);
  await page.untilHeard("address-change", ({ blocks }) =>
    blocks.some(({ epoch, host }: any) => epoch === block.epoch && host === "taker"),
  );
  await page.page.locator('[data-host="taker"]').waitFor();
  await expectTrue(page, EGRESS_IP, 2);

  await taker.giveBack(block);
  await page.untilHeard("address-change", ({ blocks }) =>
    blocks.some(({ epoch, state }: any) => epoch === block.epoch && state === "quarantined"),
  );
  await expectTrue(page, EGRESS_IP, 3);
  taker.close();

  await cluster.api.drainHost({ pool: POOL, host: "h3" });
  await page.untilHeard("pool-change", ({ hosts }) =>
    hosts.some(({ host, drain }: any) => host === "h3" && drain !== null),
  );
  await page.untilHeard("address-change", ({ blocks }) =>
    blocks.some(({ host, state }: any) => host === "h3" && state === "quarantined"),
  );
  await expectTrue(page, EGRESS_IP, 4);
  await cluster.api.resumeHost({ pool: POOL, host: "h3" });
  // All of it was pushed: nothing was asked since.
  expect(page.asked.slice(askedBefore)).toEqual([]);
  await page.close();
});

test("[DA3] a link signs in once, and leaves no code behind", async () => {
  const { code } = await cluster.api.makeSignInCode();
  const first = await browser.open();
  await first.visit(cluster.edgeUrl, `#sign-in=${code}`);
  await first.untilLink("live");
  expect(first.page.url()).not.toContain(code);
  expect(first.asked.filter((line) => line.includes(code))).toEqual([]);

  const second = await browser.open();
  await second.visit(cluster.edgeUrl, `#sign-in=${code}`);
  await expect.poll(() => second.page.getByRole("alert").textContent()).toContain("code");
  expect(await second.context.cookies()).toEqual([]);
  await second.page.getByLabel("Token").fill("not a token");
  await second.page.getByRole("button", { name: "Sign in" }).click();
  await expect.poll(() => second.page.getByRole("alert").textContent()).not.toContain("code");
  expect(await second.context.cookies()).toEqual([]);
  await first.close();
  await second.close();
});

test("[DA2] a viewer sees everything and no button that changes something, and the edge refuses it", async () => {
  const page = await signedIn(FLEET, "viewer");
  await page.page.getByText("read only").waitFor();
  for (const [table, name] of [
    ["hosts", "h1"],
    ["addresses", EGRESS_IP],
  ] as const) {
    await page.page.getByTestId(table).getByRole("button", { name, exact: true }).click();
    const dialog = page.page.getByRole("dialog");
    await dialog.waitFor();
    expect(await dialog.getByRole("button").allTextContents()).toEqual(["✕"]);
    await page.page.keyboard.press("Escape");
  }
  await page.show(`${FLEET}/try`);
  await page.page.getByText("Who may only read sends nothing from here.").waitFor();
  expect(await page.page.getByRole("button", { name: "Send" }).count()).toBe(0);
  // Not the page's word alone: the session itself may not.
  const refused =
    await page.run(`fetch("/dashboard/session").then((answer) => answer.json()).then(({ csrf }) =>
    Promise.all(["/v1/pools/${POOL}/hosts/h1/drain", "/dashboard/try"].map((path) =>
      fetch(path, { method: "POST", headers: { "ipshard-csrf": csrf, "content-type": "application/json" }, body: "{}" })
        .then((answer) => answer.json()))))`);
  expect(refused).toMatchObject([{ code: "role-denied" }, { code: "role-denied" }]);
  await expect(cluster.api.listHosts({ pool: POOL })).resolves.toMatchObject({
    hosts: expect.arrayContaining([expect.objectContaining({ host: "h1", drain: null })]),
  });
  await page.close();
});

test("[DA6] signing out ends the page, its sockets and every copy of the cookie, on every route", async () => {
  const page = await signedIn(mapOf(EGRESS_IP));
  const cookie = await cookieOf(page);
  const { csrf } = await page.run(`fetch("/dashboard/session").then((answer) => answer.json())`);
  const headers = { cookie, origin: cluster.edgeUrl, "ipshard-csrf": csrf };
  const live = `/dashboard/live/pools/${POOL}`;
  expect(await upgradeStatus(live, headers)).toBe(101);
  expect(await upgradeStatus(live, { cookie, origin: "http://127.0.0.1:9" })).toBe(403);
  const copied = new WebSocket(cluster.edgeUrl.replace(/^http/, "ws") + live, { headers });
  await once(copied, "open");
  copied.send(JSON.stringify({ type: "look" }));
  await once(copied, "message");
  const closed = once(copied, "close");

  await page.page.getByRole("button", { name: "Sign out" }).click();
  await page.page.getByLabel("Token").waitFor();
  expect(await page.context.cookies()).toEqual([]);
  const [code, reason] = await closed;
  expect([code, String(reason)]).toEqual([4002, "token-revoked"]);

  // On every route and socket, with the copy as without.
  const sockets = [live, `/dashboard/live/ips/${EGRESS_IP}`];
  const routes = Object.values<ApiRoute>(ROUTES).map(({ method, path }) => [method, path] as const);
  const own = [
    ["get", "/dashboard/session"],
    ["delete", "/dashboard/session"],
    ["get", "/dashboard/edge-past"],
    ["post", "/dashboard/try"],
  ] as const;
  for (const shown of [headers, {}]) {
    for (const path of sockets) expect(await upgradeStatus(path, shown), path).toBe(401);
    for (const [method, path] of [...routes, ...own]) {
      const filled = path
        .replace("{pool}", POOL)
        .replace("{ip}", EGRESS_IP)
        .replace(/\{\w+\}/g, "h1");
      const query = path === "/v1/holders" || path === "/v1/leases" ? `?ip=${EGRESS_IP}&port=5000` : "";
      const body = method === "get" ? {} : { body: "{}" };
      const answer = await fetch(cluster.edgeUrl + filled + query, {
        method: method.toUpperCase(),
        headers: { ...shown, "content-type": "application/json" },
        ...body,
      });
      expect([method, path, answer.status], await answer.text()).toEqual([method, path, 401]);
    }
  }
  await page.close();
});

test("[PG15] all of the page is less than 150 KB over the wire, and it asks nobody else", async () => {
  const opened = await browser.open();
  const network = await opened.context.newCDPSession(opened.page);
  const files = new Map<string, string>();
  let byteCount = 0;
  network.on("Network.responseReceived", ({ requestId, response: { url } }) => {
    if (!new URL(url).pathname.startsWith("/v1/")) files.set(requestId, new URL(url).pathname);
  });
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (files.has(requestId)) byteCount += encodedDataLength;
  });
  await network.send("Network.enable");
  await opened.signIn(cluster.edgeUrl, await cluster.token("viewer", "viewer"), `${FLEET}/time`);
  await opened.page.locator("#content canvas").first().waitFor();
  for (const view of [FLEET, mapOf(EGRESS_IP), `${FLEET}/log`, `${FLEET}/try`, "#/who", "#/plan"]) {
    await opened.show(view);
    await opened.heading().waitFor();
  }
  const names = [...new Set(files.values())].filter((path) => path.startsWith("/dashboard/assets/"));
  expect(names.map((path) => path.replace(/^.*\./, "")).toSorted()).toEqual(["css", "js", "js", "svg"]);
  expect(byteCount).toBeGreaterThan(20_000);
  expect(byteCount).toBeLessThan(150_000);
  await opened.close();
});

test("[PG13] what is hostile comes to nothing by real routes either", async () => {
  const opened = await signedIn(`${FLEET}/try`);
  const { page } = opened;
  for (const hostile of HOSTILE_STRINGS) {
    const text = hostile.toWellFormed().slice(0, 1_000);
    await page.getByLabel("URL").fill(cluster.originUrl(`/${text.slice(0, 200)}`));
    await page.getByLabel("Selection").fill(text);
    await page.getByLabel("Tenant").fill(text.slice(0, 100));
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("alert").or(page.getByTestId("way")).first().waitFor();
    await page.getByLabel("Selection").fill("");
    await page.getByLabel("Tenant").fill("");
    await page.getByRole("button", { name: "Send" }).click();
    await expect.poll(() => page.getByTestId("answer-body").textContent()).toContain("no such thing here");
  }
  for (const hostile of HOSTILE_STRINGS) {
    await opened.show(`#/who?ip=${encodeURIComponent(hostile.toWellFormed())}&port=80`);
    await expect.poll(() => page.getByTestId("who-answer").textContent()).not.toMatch(/Asking|^$/);
  }
  await opened.close();
});

test("[PG16] an edge that goes is told, and one that comes again is caught up with", async () => {
  const page = await signedIn(mapOf(EGRESS_IP));
  await expectTrue(page, EGRESS_IP, 5);
  await cluster.killEdge();
  await page.untilLink("lost");
  expect(await page.page.getByTestId("link").textContent()).toContain("The connection is lost");
  // What is shown stays.
  expect(await page.page.getByTestId("port-map").count()).toBe(1);
  const heardBefore = page.heard.length;
  await cluster.startEdge();
  const taker = await PortTaker.join(cluster.edgeUrl, EGRESS_IP, await cluster.token("host", "taker"));
  const block = await taker.take(11);
  await page.untilLink("live");
  await page.untilHeard("address", () => true, heardBefore);
  await page.page.locator('[data-host="taker"]').waitFor();
  await expectTrue(page, EGRESS_IP, 6);
  await taker.giveBack(block);
  taker.close();
  await page.close();
});

test("[PG14] everything is done by keys alone", async () => {
  const { page, ...opened } = await keyboardPage();
  const { tabTo, press, type, go } = opened;
  await tabTo(page.getByLabel("Token"));
  await type(await cluster.token("admin", "admin"));
  await press("Enter");
  await page.getByRole("heading", { name: `Fleet of ${POOL}` }).waitFor();

  await go("Port map");
  await tabTo(page.getByRole("application"));
  await press("ArrowRight", "Shift+ArrowDown", "+");
  await expect.poll(() => page.getByTestId("port-said").textContent()).toMatch(/port \d+/i);
  expect(await page.getByTestId("port-map").getAttribute("data-zoom")).toBe("2");
  await tabTo(page.getByLabel("Go to port"));
  await type("80");
  await press("Enter");
  await expect.poll(() => page.getByTestId("port-card").textContent()).toContain("Reserved");

  await go("Fleet");
  await tabTo(page.getByTestId("hosts").getByRole("button", { name: "h2", exact: true }));
  await press("Enter");
  for (const [verb, isDrained] of [
    ["Drain", true],
    ["Resume", false],
  ] as const) {
    await tabTo(page.getByRole("button", { name: `${verb} …` }));
    await press("Enter");
    await tabTo(page.getByRole("button", { name: `${verb} h2`, exact: true }));
    await press("Enter");
    await until(`${verb} is done`, async () => {
      const { hosts } = await cluster.api.listHosts({ pool: POOL });
      return (hosts.find(({ host }) => host === "h2")!.drain !== null) === isDrained;
    });
  }
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });

  await go("Try it");
  for (const [url, part, words] of [
    [cluster.originUrl("/seen"), "answer-body", /127\.0\.0\.1/],
    ["http://10.1.2.3/", "remedy", /\w/],
  ] as const) {
    await tabTo(page.getByLabel("URL"));
    await press("Control+A");
    await type(url);
    await press("Enter");
    await expect.poll(() => page.getByTestId(part).textContent()).toMatch(words);
  }

  await go("Decisions");
  const told = page.getByTestId("decisions");
  await until("decisions are told", async () => {
    for (const url of [cluster.originUrl("/seen"), "http://10.1.2.3/"])
      await fetch(cluster.through(url), { headers: await cluster.clientHeaders() });
    const text = (await told.textContent()) ?? "";
    return text.includes("destination-prohibited") && text.includes("answered");
  });
  await tabTo(page.getByRole("combobox", { name: "Decision" }));
  await type("refused");
  await expect.poll(() => told.textContent()).not.toContain("answered");
  await tabTo(page.getByLabel("With these words"));
  await type("no such words");
  await expect.poll(() => told.textContent()).toContain("No decision is like that.");

  await tabTo(page.getByLabel("Theme"));
  await type("dark");
  await expect.poll(() => page.locator("html").getAttribute("data-theme")).toBe("dark");
  await tabTo(page.getByRole("button", { name: "Sign out" }));
  await press("Enter");
  await page.getByLabel("Token").waitFor();
  await opened.close();
});

/** A page that is not signed in, and what keys do in it. */
async function keyboardPage() {
  const opened = await browser.open();
  await opened.visit(cluster.edgeUrl);
  const { page } = opened;
  const { keyboard } = page;
  const tabTo = (target: Locator): Promise<void> => opened.tabTo(target);
  const press = async (...keys: readonly string[]): Promise<void> => {
    for (const key of keys) await keyboard.press(key);
  };
  return {
    page,
    tabTo,
    press,
    type: (text: string): Promise<void> => keyboard.type(text),
    /** By the navigation. */
    go: async (view: string): Promise<void> => {
      await tabTo(page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: view }));
      await press("Enter");
      await page.getByRole("heading", { level: 1, name: view }).waitFor();
    },
    close: (): Promise<void> => opened.close(),
  };
}
