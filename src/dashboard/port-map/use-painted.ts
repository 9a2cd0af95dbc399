/** Paints the map before the next frame, whatever has changed of it, and nothing else. */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import type { AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { beforeFrame } from "../parts/signal.ts";
import type { Theme } from "./colours.ts";
import { SIDE } from "./hilbert.ts";
import type { HostHues } from "./host-hues.ts";
import { drawOverlay } from "./overlay.ts";
import { Picture, usesOf } from "./picture.ts";
import type { ViewPort } from "./view-port.ts";

/** What is painted. */
export interface Painted {
  readonly pool: PoolStore;
  readonly store: AddressStore;
  readonly hues: HostHues;
  readonly theme: Theme;
  /** The host that stands out. */
  readonly host: string | null;
  /** The port that keys have gone to, or a click. */
  readonly cursorPort: number | null;
  /** Of a port that is pointed at, here or elsewhere: its block is framed. */
  readonly pointedPort: number | null;
}

const OVERLAY_MS = 120;

/** The canvases; `size` is pixels along a side. */
export function usePainted(painted: Painted, view: ViewPort, size: number) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const picture = useRef<Picture | null>(null);
  const latest = useRef({ painted, view, size });
  latest.current = { painted, view, size };
  const overlayTimer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const paintPicture = useRef(() => {
    if (canvas.current === null) return;
    picture.current ??= new Picture(canvas.current);
    paint(canvas.current, picture.current, latest.current.painted);
    place(canvas.current, latest.current.view, latest.current.size);
  }).current;
  const paintAll = useRef(() => {
    clearTimeout(overlayTimer.current);
    overlayTimer.current = undefined;
    paintPicture();
    if (overlay.current === null) return;
    paintOverlay(overlay.current, latest.current.painted, latest.current.view, latest.current.size);
  }).current;
  useEffect(() => {
    // Words take longer to draw than ports, and are not read sixty times a second.
    const changed = (): void => {
      paintPicture();
      overlayTimer.current ??= setTimeout(() => beforeFrame(paintAll), OVERLAY_MS);
    };
    const ends = [painted.store.changed.listen(changed), painted.pool.watchedChanged.listen(paintPicture)];
    return () => {
      for (const end of ends) end();
      clearTimeout(overlayTimer.current);
      overlayTimer.current = undefined;
    };
  }, [painted.store, painted.pool]);
  // What somebody points at is framed at once.
  useLayoutEffect(() => beforeFrame(paintAll));
  return { canvas, overlay };
}

function paint(canvas: HTMLCanvasElement, picture: Picture, painted: Painted): void {
  const { pool, store, hues, theme, host } = painted;
  hues.see([...store.blocks.values()].map((block) => block.host));
  const count = picture.paint(store, hues, { theme, host, uses: usesOf(pool, store.ip) });
  canvas.dataset["painted"] = `${Number(canvas.dataset["painted"] ?? 0) + count}`;
  canvas.dataset["emphasis"] = host ?? "";
}

/** Zooming moves what is painted already. */
function place(canvas: HTMLCanvasElement, { zoom, left, top }: ViewPort, size: number): void {
  canvas.style.transform = `scale(${(zoom * size) / SIDE}) translate(${-left}px, ${-top}px)`;
}

function paintOverlay(overlay: HTMLCanvasElement, painted: Painted, view: ViewPort, size: number): void {
  const { store, theme, host, cursorPort, pointedPort } = painted;
  const port = pointedPort ?? cursorPort;
  drawOverlay(overlay, size, {
    blocks: store.blocks.values(),
    view,
    theme,
    host,
    framed: port === null ? null : (store.units[Math.floor(port / UNIT_PORT_COUNT)] ?? null),
    cursorPort,
  });
}
