/** All views of the dashboard, each with how one gets there and when there is something to see. */
import type { DashboardPage } from "./dashboard-browser.ts";

/** What is looked at. */
export interface Sight {
  readonly pool: string;
  readonly ip: string;
  /** A port of the address that somebody has, or had. */
  readonly port: number;
  /** Where a request that is tried goes. */
  readonly url: string;
}

/** A view. */
export interface View {
  readonly name: string;
  readonly open: (page: DashboardPage, sight: Sight) => Promise<void>;
}

/** Every view, in the order of the navigation; what is opened in a view comes after it. */
export const VIEWS: readonly View[] = [
  {
    name: "fleet",
    open: async (page, { pool }) => {
      await page.show(`#/pools/${pool}`);
      await page.page.getByTestId("hosts").getByRole("button").first().waitFor();
      await page.untilHeard("watched", () => true);
    },
  },
  {
    name: "address",
    open: async ({ page }, { ip }) => {
      await page.getByTestId("addresses").getByRole("button", { name: ip, exact: true }).click();
      await page.getByRole("dialog", { name: `Address ${ip}` }).waitFor();
    },
  },
  {
    name: "drain",
    open: async ({ page }, { ip }) => {
      await page.getByRole("button", { name: "Drain …" }).click();
      await page.getByRole("dialog", { name: `Drain ${ip}?` }).waitFor();
    },
  },
  {
    name: "map",
    open: async (page, { pool, ip }) => {
      await page.show(`#/pools/${pool}/map/${ip}`);
      await page.page.locator("[data-host]").first().waitFor();
      await page.page.getByTestId("blocks").getByRole("rowheader").first().waitFor();
    },
  },
  {
    name: "time",
    open: async (page, { pool }) => {
      await page.show(`#/pools/${pool}/time`);
      await page.untilHeard("past", () => true);
      await page.page.locator("#content canvas").first().waitFor();
    },
  },
  {
    name: "log",
    open: async (page, { pool }) => {
      await page.show(`#/pools/${pool}/log`);
      await page.page.getByTestId("decisions").getByRole("rowheader").first().waitFor();
    },
  },
  {
    name: "try",
    open: async (page, { pool, url }) => {
      await page.show(`#/pools/${pool}/try`);
      await page.page.getByLabel("URL").fill(url);
      await page.page.getByRole("button", { name: "Send" }).click();
      await page.page.getByTestId("way").waitFor();
    },
  },
  {
    name: "who",
    open: async (page, { ip, port }) => {
      await page.show(`#/who?ip=${encodeURIComponent(ip)}&port=${port}`);
      await page.page.getByTestId("who-answer").waitFor();
    },
  },
  {
    name: "plan",
    open: async (page) => {
      await page.show("#/plan");
      await page.page.getByTestId("plan-figures").waitFor();
    },
  },
];
