/** The port map itself: a picture to zoom and to walk through, by pointer, by buttons and by keys. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { beforeFrame } from "../parts/signal.ts";
import { placeOf, portAt, SIDE } from "./hilbert.ts";
import type { HostHues } from "./host-hues.ts";
import { drawOverlay } from "./overlay.ts";
import { Picture, type Seen, usesOf } from "./picture.ts";
import type { Theme } from "./colours.ts";
import { moved, MOST_ZOOM, showing, type ViewPort, WHOLE, zoomed } from "./view-port.ts";

interface MapCanvasProps {
  readonly pool: PoolStore;
  readonly store: AddressStore;
  readonly hues: HostHues;
  readonly theme: Theme;
  /** The host that stands out. */
  readonly host: string | null;
  /** The port that keys have gone to, or a click. */
  readonly cursorPort: number | null;
  /** Whose block is framed: of a port that is pointed at, here or elsewhere. */
  readonly pointedPort: number | null;
  readonly pointed: (port: number | null) => void;
  readonly moveCursor: (port: number | null) => void;
  /** Told when the picture is painted. */
  readonly describedBy: string;
}

const STEPS: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const ZOOM_STEP = 2;
const LARGE_STEP = 8;
const MOST_SIZE = 768;
/** Beside the picture there is room for the card and the legend, or they are below it. */
const CARD_WIDTH = 310;
const NARROW = 900;

/** The map with its buttons. */
export function MapCanvas(props: MapCanvasProps) {
  const { store, theme, cursorPort, pointed, moveCursor } = props;
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState(SIDE);
  const [view, setView] = useState<ViewPort>(WHOLE);
  const { canvas, overlay } = usePainted(props, view, size);
  useLayoutEffect(() => {
    const around = box.current!.closest(".map-layout")!;
    const fit = (): void => setSize(sizeFor(around.clientWidth));
    const observer = new ResizeObserver(() => beforeFrame(fit));
    observer.observe(around);
    fit();
    return () => observer.disconnect();
  }, []);
  const placeAt = (event: { readonly clientX: number; readonly clientY: number }) => {
    const { left, top } = box.current!.getBoundingClientRect();
    const scale = (size / SIDE) * view.zoom;
    return {
      x: within(view.left + (event.clientX - left) / scale),
      y: within(view.top + (event.clientY - top) / scale),
    };
  };
  useWheel(box, (event) => {
    const { x, y } = placeAt(event);
    setView((before) => zoomed(before, event.deltaY < 0 ? 1.25 : 0.8, x, y));
  });
  const drag = useDrag(size, view, setView);
  const zoomBy = (times: number): void => {
    const { x, y } =
      cursorPort === null
        ? { x: view.left + SIDE / view.zoom / 2, y: view.top + SIDE / view.zoom / 2 }
        : placeOf(cursorPort);
    setView(zoomed(view, times, x, y));
  };
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEPS[event.key];
    if (step !== undefined) {
      const from = placeOf(cursorPort ?? portAt(SIDE / 2, SIDE / 2));
      const times = event.shiftKey ? LARGE_STEP : 1;
      const to =
        cursorPort === null
          ? from
          : { x: clamp(from.x + step[0] * times), y: clamp(from.y + step[1] * times) };
      moveCursor(portAt(to.x, to.y));
      setView(showing(view, to.x, to.y));
    } else if (event.key === "+" || event.key === "=") zoomBy(ZOOM_STEP);
    else if (event.key === "-") zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0") setView(WHOLE);
    else if (event.key === "Escape") moveCursor(null);
    else return;
    event.preventDefault();
  };
  return (
    <div class="map-frame">
      <div
        ref={box}
        class={`map-box ${view.zoom > 1 ? "zoomed" : ""}`}
        style={{ width: `${size}px`, height: `${size}px` }}
        role="application"
        aria-roledescription="port map"
        aria-label={`Port map of ${store.ip}`}
        aria-describedby={props.describedBy}
        tabIndex={0}
        onKeyDown={press}
        onPointerDown={drag.down}
        onPointerMove={(event) => {
          const { x, y } = placeAt(event);
          if (!drag.move(event)) pointed(portAt(Math.floor(x), Math.floor(y)));
        }}
        onPointerUp={(event) => {
          const { x, y } = placeAt(event);
          if (!drag.up()) moveCursor(portAt(Math.floor(x), Math.floor(y)));
        }}
        onPointerCancel={drag.up}
        onPointerLeave={() => pointed(null)}
      >
        <canvas
          ref={canvas}
          class="map-picture"
          width={SIDE}
          height={SIDE}
          data-testid="port-map"
          data-ip={store.ip}
          data-theme={theme}
          // Of the canvas's own pixels: port p is at (x, y) of the curve, times scale, from origin.
          data-scale="1"
          data-origin-x="0"
          data-origin-y="0"
          data-zoom={view.zoom}
          aria-hidden="true"
        />
        <canvas ref={overlay} class="map-overlay" aria-hidden="true" />
      </div>
      <div class="map-buttons" role="group" aria-label="Zoom">
        <button
          type="button"
          onClick={() => zoomBy(ZOOM_STEP)}
          disabled={view.zoom >= MOST_ZOOM}
          aria-label="Zoom in"
        >
          +
        </button>
        <button
          type="button"
          onClick={() => zoomBy(1 / ZOOM_STEP)}
          disabled={view.zoom <= 1}
          aria-label="Zoom out"
        >
          −
        </button>
        <button type="button" onClick={() => setView(WHOLE)} disabled={view.zoom === 1}>
          Whole
        </button>
      </div>
    </div>
  );
}

/** Paints before the next frame whatever has changed, and nothing else. */
function usePainted(props: MapCanvasProps, view: ViewPort, size: number) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const picture = useRef<Picture | null>(null);
  const latest = useRef({ props, view, size });
  latest.current = { props, view, size };
  const paint = useRef(() => {
    const { pool, store, hues, host, theme, cursorPort, pointedPort } = latest.current.props;
    if (canvas.current === null || overlay.current === null) return;
    picture.current ??= new Picture(canvas.current);
    hues.see([...store.blocks.values()].map((block) => block.host));
    const seen: Seen = { theme, host, uses: usesOf(pool, store.ip) };
    const count = picture.current.paint(store, hues, seen);
    canvas.current.dataset["painted"] = `${Number(canvas.current.dataset["painted"] ?? 0) + count}`;
    canvas.current.dataset["emphasis"] = host ?? "";
    const { zoom, left, top } = latest.current.view;
    const scale = latest.current.size / SIDE;
    canvas.current.style.transform = `scale(${zoom * scale}) translate(${-left}px, ${-top}px)`;
    const framedPort = pointedPort ?? cursorPort;
    drawOverlay(overlay.current, latest.current.size, {
      blocks: store.blocks.values(),
      view: latest.current.view,
      theme,
      framed: framedPort === null ? null : (store.units[Math.floor(framedPort / UNIT_PORT_COUNT)] ?? null),
      cursorPort,
    });
  }).current;
  useEffect(() => {
    const ends = [props.store.changed.listen(paint), props.pool.watchedChanged.listen(paint)];
    return () => {
      for (const end of ends) end();
    };
  }, [props.store, props.pool]);
  useLayoutEffect(() => beforeFrame(paint));
  return { canvas, overlay };
}

/** A wheel zooms, and does not move the page meanwhile. */
function useWheel(box: { readonly current: HTMLElement | null }, turned: (event: WheelEvent) => void): void {
  const latest = useRef(turned);
  latest.current = turned;
  useEffect(() => {
    const element = box.current!;
    const listener = (event: WheelEvent): void => {
      event.preventDefault();
      latest.current(event);
    };
    element.addEventListener("wheel", listener, { passive: false });
    return () => element.removeEventListener("wheel", listener);
  }, []);
}

/** Moves the picture with the pointer. What has hardly moved was a click. */
function useDrag(size: number, view: ViewPort, setView: (view: ViewPort) => void) {
  const from = useRef<{ x: number; y: number; view: ViewPort; isMoved: boolean } | null>(null);
  return {
    down: (event: PointerEvent): void => {
      if (event.button !== 0) return;
      from.current = { x: event.clientX, y: event.clientY, view, isMoved: false };
    },
    move: (event: PointerEvent): boolean => {
      const start = from.current;
      if (start === null || start.view.zoom === 1) return false;
      const [byX, byY] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.isMoved && Math.hypot(byX, byY) < 4) return false;
      if (!start.isMoved) (event.currentTarget as Element).setPointerCapture(event.pointerId);
      start.isMoved = true;
      const scale = (size / SIDE) * start.view.zoom;
      setView(moved(start.view, -byX / scale, -byY / scale));
      return true;
    },
    /** Whether it was moved. */
    up: (): boolean => {
      const isMoved = from.current?.isMoved === true;
      from.current = null;
      return isMoved;
    },
  };
}

/** As large as there is room for, in whole pixels of the screen for each port, so that all are of one size. */
function sizeFor(width: number): number {
  const room = innerWidth > NARROW ? width - CARD_WIDTH : width;
  const least = SIDE / devicePixelRatio;
  const most = Math.min(MOST_SIZE, room, Math.max(512, innerHeight - 120));
  return Math.max(1, Math.floor(most / least)) * least;
}

function within(place: number): number {
  return Math.min(SIDE - 0.001, Math.max(0, place));
}

function clamp(place: number): number {
  return Math.min(SIDE - 1, Math.max(0, place));
}
