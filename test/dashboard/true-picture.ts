/** The picture of an address as it should be, by the table that the edge's API answers. */
import type { AnswerOf } from "../../src/api/edge-api.ts";
import type { WatchedHost } from "../../src/core/live-view.ts";
import { FIRST_LEASABLE_PORT, portCountOf } from "../../src/core/port-block.ts";
import { type Colour, type PortCell, portColour, useLevelOf } from "../../src/dashboard/port-map/colours.ts";
import { placeOf } from "../../src/dashboard/port-map/hilbert.ts";
import type { DashboardPage } from "./dashboard-browser.ts";

type Table = AnswerOf<"getIp">;

/** What the page shows and has been told, as far as it is in the picture but in no table. */
export interface Shown {
  /** Of each host, as the legend says. */
  readonly hues: ReadonlyMap<string, number>;
  /** By host, as told last. */
  readonly watched: ReadonlyMap<string, WatchedHost>;
  readonly theme: "light" | "dark";
}

/** The colours of these ports by the table. */
export function trueColours(ports: readonly number[], ip: string, table: Table, shown: Shown): Colour[] {
  return ports.map((port) => {
    const { x, y } = placeOf(port);
    return portColour(cellOf(port, ip, table, shown), x, y, shown.theme);
  });
}

function cellOf(port: number, ip: string, { blocks }: Table, { hues, watched }: Shown): PortCell {
  const block = blocks.find(({ base, order }) => port >= base && port < base + portCountOf(order));
  if (block === undefined) {
    const state = port < FIRST_LEASABLE_PORT ? "reserved" : "free";
    return { state, hueIndex: -1, useLevel: null, isDimmed: false };
  }
  const told = watched.get(block.host)?.addresses.find((address) => address.ip === ip);
  const use = told?.blocks?.find(([base]) => base === block.base);
  const isUseShown = block.state === "leased" && use !== undefined;
  return {
    state: block.state,
    hueIndex: hues.get(block.host) ?? -1,
    useLevel: isUseShown ? useLevelOf(use[2], portCountOf(block.order)) : null,
    isDimmed: false,
  };
}

/** The colours that are in the canvas at these ports. */
export async function shownColours(page: DashboardPage, ports: readonly number[]): Promise<Colour[]> {
  const places = JSON.stringify(ports.map(placeOf));
  return page.run(`(() => {
    const canvas = document.querySelector("[data-testid=port-map]");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return ${places}.map(({ x, y }) => [...data.slice((y * canvas.width + x) * 4, (y * canvas.width + x) * 4 + 3)]);
  })()`);
}

/** What of the picture depends on the page: hues by its legend, use by what it has heard. */
export async function shownBy(page: DashboardPage): Promise<Shown> {
  const hues = await page.run(
    `[...document.querySelectorAll("[data-host]")].map(({ dataset }) => [dataset.host, Number(dataset.hueIndex)])`,
  );
  const watched = new Map<string, WatchedHost>();
  for (const { message } of page.heard) {
    if (message.type !== "watched") continue;
    for (const [host, told] of Object.entries<WatchedHost>(message["hosts"])) watched.set(host, told);
  }
  const theme = await page.run(`document.querySelector("[data-testid=port-map]").dataset.theme`);
  return { hues: new Map(hues), watched, theme };
}

/** So many ports, drawn from all of them, the same for one seed. */
export function sampledPorts(count: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 16;
  });
}
