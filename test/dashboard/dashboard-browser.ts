/**
 * Chromium before the dashboard: pages that note whatever should not happen in them, what they ask of the edge and
 * what they hear of it. What runs in the page itself is given as text, so that its policy for scripts holds.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { until } from "../e2e/cluster.ts";
import { pathOf } from "../e2e/client-programs.ts";

/** Where pictures of views are put; nothing of it is kept in the repository. */
const PICTURES = join(import.meta.dirname, "../../.screenshots");

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 360, height: 740 };

/** How a page is opened. */
export interface PageOptions {
  readonly size?: { readonly width: number; readonly height: number };
  readonly scheme?: "light" | "dark";
}

/** What was heard over a WebSocket. */
export interface Heard {
  readonly path: string;
  readonly message: { readonly type: string } & Record<string, any>;
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
/** Said of a refusal or a lost connection by the browser itself; the page knows of both. */
const LOADING = /^Failed to load resource|^WebSocket connection to /;

/** One browser, for as many pages as there are. */
export class DashboardBrowser {
  readonly #browser: Browser;
  readonly #directory: string;

  private constructor(browser: Browser, directory: string) {
    this.#browser = browser;
    this.#directory = directory;
  }

  static async start(): Promise<DashboardBrowser> {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-browser-"));
    const browser = await chromium.launch({
      executablePath: pathOf("chromium")!,
      // As root it has no sandbox.
      chromiumSandbox: false,
      args: ["--disable-background-networking"],
      env: { ...process.env, HOME: directory },
    });
    return new DashboardBrowser(browser, directory);
  }

  /** A page of its own, with its own cookies. */
  async open({ size = WIDE, scheme = "light" }: PageOptions = {}): Promise<DashboardPage> {
    const context = await this.#browser.newContext({
      viewport: size,
      colorScheme: scheme,
      reducedMotion: "reduce",
    });
    return DashboardPage.in(context);
  }

  /** A page to which nobody listens. */
  async plainPage(): Promise<Page> {
    return (await this.#browser.newContext({ viewport: WIDE })).newPage();
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A page of the dashboard. */
export class DashboardPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Whatever should not happen: dialogs, faults of scripts, what the policy forbids, whom the page asks beside its edge. */
  readonly faults: string[] = [];
  /** Questions of the page, as `GET /v1/pools`. */
  readonly asked: string[] = [];
  readonly heard: Heard[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
  }

  static async in(context: BrowserContext): Promise<DashboardPage> {
    const made = new DashboardPage(context, await context.newPage());
    await made.#listen();
    return made;
  }

  /** Opens the page, signed out as long as there is no cookie. */
  async visit(edge: string, fragment = ""): Promise<void> {
    await this.page.goto("about:blank");
    await this.page.goto(`${edge}/dashboard${fragment}`);
  }

  /** Signs in by a token, as a person does. */
  async signIn(edge: string, token: string, fragment = ""): Promise<void> {
    await this.visit(edge, fragment);
    await this.page.getByLabel("Token").fill(token);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.heading().waitFor();
  }

  /** Goes to a view that is known by its fragment. */
  async show(fragment: string): Promise<void> {
    await this.run(`location.hash = ${JSON.stringify(fragment)}`);
  }

  heading(): Locator {
    return this.page.locator("#content h1");
  }

  /** Waits until the connection to what is looked at stands so. */
  async untilLink(state: "live" | "lost"): Promise<void> {
    await this.page.locator(`[data-testid=link][data-state=${state}]`).waitFor({ state: "attached" });
  }

  async run(script: string): Promise<any> {
    return this.page.evaluate(script);
  }

  /** Goes on by the tabulator until this has the keyboard. */
  async tabTo(target: Locator): Promise<void> {
    for (let steps = 0; steps < 150; steps += 1) {
      if (await target.evaluate((element: any) => element === element.ownerDocument.activeElement)) return;
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`No keyboard comes to ${target.toString()}`);
  }

  /** What axe finds, each with the parts of the page that it is about. */
  async findings(): Promise<string[]> {
    if (!(await this.run("'axe' in window"))) await this.run(`${await readFile(AXE, "utf8")}; 0`);
    const found = (await this.run(
      `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => ({
        id, parts: nodes.map(({ target, failureSummary }) => target + ": " + failureSummary) })))`,
    )) as { readonly id: string; readonly parts: readonly string[] }[];
    return found.map(({ id, parts }) => `${id}: ${parts.slice(0, 3).join(" | ")}`);
  }

  /** By how many pixels the page is wider than its window. */
  async sidewaysPixels(): Promise<number> {
    return this.run("document.documentElement.scrollWidth - innerWidth");
  }

  /** A picture of the whole page, among the others. */
  async picture(name: string): Promise<void> {
    await mkdir(PICTURES, { recursive: true });
    const path = join(PICTURES, `${name}.png`);
    await this.page.screenshot({ path, fullPage: true, animations: "disabled" });
  }

  /** A picture of what is in the window. */
  async window(path: string): Promise<void> {
    await this.page.screenshot({ path, animations: "disabled" });
  }

  /** The last message of a kind, heard since the message of this number. */
  last(type: string, since = 0): Heard["message"] | null {
    return this.heard.slice(since).findLast(({ message }) => message.type === type)?.message ?? null;
  }

  /** Waits for a message that is like this, heard since the message of this number. */
  async untilHeard(type: string, isLike: (message: Heard["message"]) => boolean, since = 0): Promise<void> {
    await until(`the page has heard ${type}`, () =>
      this.heard.slice(since).some(({ message }) => message.type === type && isLike(message)),
    );
  }

  /** Closes it; nothing may have gone wrong in it. */
  async close(): Promise<void> {
    await this.context.close();
    assert.deepEqual(this.faults, []);
  }

  async #listen(): Promise<void> {
    const { page, context, faults } = this;
    page.on("dialog", (dialog) => {
      faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("pageerror", (fault) => faults.push(`fault: ${fault.stack ?? fault.message}`));
    page.on("console", (line) => {
      const isTrouble = line.type() === "error" || line.type() === "warning";
      if (isTrouble && !LOADING.test(line.text())) faults.push(`console: ${line.text()}`);
    });
    context.on("page", (other) => {
      if (other !== page) faults.push(`another page: ${other.url()}`);
    });
    page.on("request", (request) => {
      const url = new URL(request.url());
      this.asked.push(`${request.method()} ${url.pathname}`);
      if (url.hostname !== "127.0.0.1" && url.protocol !== "about:") faults.push(`asks ${url.href}`);
    });
    page.on("websocket", (socket) => {
      const path = new URL(socket.url()).pathname;
      socket.on("framereceived", ({ payload }) => {
        this.heard.push({ path, message: JSON.parse(String(payload)) as Heard["message"] });
      });
    });
    await page.exposeFunction("noteForbidden", (what: string) => faults.push(`forbidden: ${what}`));
    await page.addInitScript(
      `addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
        noteForbidden([violatedDirective, blockedURI, sample].join(" ")));`,
    );
  }
}
