/** Which part of the picture is seen: by how much it is enlarged, and where its corner is. */
import { SIDE } from "./hilbert.ts";

/** `zoom` 1 shows the whole; `left`, `top` are the place in the corner. */
export interface ViewPort {
  readonly zoom: number;
  readonly left: number;
  readonly top: number;
}

/** The whole picture. */
export const WHOLE: ViewPort = { zoom: 1, left: 0, top: 0 };
/** At the most, one port is this many times as wide as in the whole picture. */
export const MOST_ZOOM = 16;

/** The same, zoomed around a place of the picture, which stays where it is. */
export function zoomed(view: ViewPort, times: number, x: number, y: number): ViewPort {
  const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * times));
  const part = view.zoom / zoom;
  return inside({ zoom, left: x - (x - view.left) * part, top: y - (y - view.top) * part });
}

/** The same, moved by places. */
export function moved(view: ViewPort, byX: number, byY: number): ViewPort {
  return inside({ ...view, left: view.left + byX, top: view.top + byY });
}

/** The same, moved as little as it takes to see a place with some room around it. */
export function showing(view: ViewPort, x: number, y: number): ViewPort {
  const seen = SIDE / view.zoom;
  const room = Math.min(8, seen / 4);
  const near = (edge: number, place: number): number =>
    Math.min(Math.max(edge, place + 1 + room - seen), place - room);
  return inside({ ...view, left: near(view.left, x), top: near(view.top, y) });
}

function inside({ zoom, left, top }: ViewPort): ViewPort {
  const most = SIDE - SIDE / zoom;
  return { zoom, left: Math.min(most, Math.max(0, left)), top: Math.min(most, Math.max(0, top)) };
}
