/** The port map itself: a picture to zoom and to walk through, by pointer, by buttons and by keys. */
import { useRef, useState } from "preact/hooks";
import { placeOf, portAt, SIDE } from "./hilbert.ts";
import { useDrag, useSize, useWheel } from "./map-pointer.ts";
import { type Painted, usePainted } from "./use-painted.ts";
import { moved, MOST_ZOOM, showing, type ViewPort, WHOLE, zoomed } from "./view-port.ts";

interface MapCanvasProps extends Painted {
  readonly pointed: (port: number | null) => void;
  readonly moveCursor: (port: number | null) => void;
  /** What says which keys there are. */
  readonly describedBy: string;
}

const STEPS: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const MOVES = [
  ["Move left", "←", -1, 0],
  ["Move right", "→", 1, 0],
  ["Move up", "↑", 0, -1],
  ["Move down", "↓", 0, 1],
] as const;
const ZOOM_STEP = 2;
const WHEEL_STEP = 1.25;
const LARGE_STEP = 8;

/** The map with its buttons. */
export function MapCanvas(props: MapCanvasProps) {
  const { store, theme, pointed, moveCursor } = props;
  const box = useRef<HTMLDivElement>(null);
  const size = useSize(box);
  const [view, setView] = useState<ViewPort>(WHOLE);
  const { canvas, overlay } = usePainted(props, view, size);
  const scale = (size / SIDE) * view.zoom;
  const placeAt = (event: { readonly clientX: number; readonly clientY: number }) => {
    const { left, top } = box.current!.getBoundingClientRect();
    const x = within(view.left + (event.clientX - left) / scale);
    const y = within(view.top + (event.clientY - top) / scale);
    return { x, y, port: portAt(Math.floor(x), Math.floor(y)) };
  };
  useWheel(box, (event) => {
    const { x, y } = placeAt(event);
    const next = wheeled(event, view, scale, x, y);
    setView(next);
    return next !== view;
  });
  const drag = useDrag(scale, view, setView);
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
        onKeyDown={(event) => pressed(event, props, view, setView)}
        onPointerDown={drag.down}
        onPointerMove={(event) => {
          if (!drag.move(event)) pointed(placeAt(event).port);
        }}
        onPointerUp={(event) => {
          if (!drag.up()) moveCursor(placeAt(event).port);
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
      <ZoomButtons view={view} setView={setView} port={props.cursorPort} />
    </div>
  );
}

interface ZoomButtonsProps {
  readonly view: ViewPort;
  readonly setView: (view: ViewPort) => void;
  readonly port: number | null;
}

function ZoomButtons({ view, setView, port }: ZoomButtonsProps) {
  return (
    <div class="map-buttons" role="group" aria-label="What is seen">
      <button
        type="button"
        onClick={() => setView(zoomedBy(view, ZOOM_STEP, port))}
        disabled={view.zoom >= MOST_ZOOM}
        aria-label="Zoom in"
      >
        +
      </button>
      <button
        type="button"
        onClick={() => setView(zoomedBy(view, 1 / ZOOM_STEP, port))}
        disabled={view.zoom <= 1}
        aria-label="Zoom out"
      >
        −
      </button>
      <button type="button" onClick={() => setView(WHOLE)} disabled={view.zoom === 1}>
        Whole
      </button>
      {MOVES.map(([name, sign, x, y]) => (
        <button
          key={name}
          type="button"
          onClick={() => setView(moved(view, (x * SIDE) / view.zoom / 4, (y * SIDE) / view.zoom / 4))}
          disabled={view.zoom === 1}
          aria-label={name}
        >
          {sign}
        </button>
      ))}
    </div>
  );
}

/** Sideways it moves what is seen, else it zooms around what is pointed at; of the whole picture nothing can be made smaller. */
function wheeled(event: WheelEvent, view: ViewPort, scale: number, x: number, y: number): ViewPort {
  const { deltaX, deltaY, shiftKey } = event;
  if (shiftKey || Math.abs(deltaX) > Math.abs(deltaY))
    return view.zoom === 1 ? view : moved(view, (deltaX || deltaY) / scale, 0);
  if (deltaY > 0 && view.zoom === 1) return view;
  return zoomed(view, deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP, x, y);
}

function pressed(
  event: KeyboardEvent,
  { cursorPort, moveCursor }: MapCanvasProps,
  view: ViewPort,
  setView: (view: ViewPort) => void,
): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = STEPS[event.key];
  if (step !== undefined) {
    const times = event.shiftKey ? LARGE_STEP : 1;
    const from = placeOf(cursorPort ?? portAt(SIDE / 2, SIDE / 2));
    // The first key only shows where one is.
    const moves = cursorPort === null ? 0 : times;
    const to = { x: clamp(from.x + step[0] * moves), y: clamp(from.y + step[1] * moves) };
    moveCursor(portAt(to.x, to.y));
    setView(showing(view, to.x, to.y));
  } else if (event.key === "+" || event.key === "=") setView(zoomedBy(view, ZOOM_STEP, cursorPort));
  else if (event.key === "-") setView(zoomedBy(view, 1 / ZOOM_STEP, cursorPort));
  else if (event.key === "0") setView(WHOLE);
  else if (event.key === "Escape") moveCursor(null);
  else return;
  event.preventDefault();
}

/** Around the cursor where there is one, else around the middle of what is seen. */
function zoomedBy(view: ViewPort, times: number, port: number | null): ViewPort {
  if (port === null) {
    const half = SIDE / view.zoom / 2;
    return zoomed(view, times, view.left + half, view.top + half);
  }
  const { x, y } = placeOf(port);
  return showing(zoomed(view, times, x, y), x, y);
}

function within(place: number): number {
  return Math.min(SIDE - 0.001, Math.max(0, place));
}

function clamp(place: number): number {
  return Math.min(SIDE - 1, Math.max(0, place));
}
