/** What lies over the picture: where blocks begin and end, who they are when there is room, and what is pointed at. */
import type { AddressBlock } from "../live/address-store.ts";
import { type Rectangle, rectangleOf } from "./picture.ts";
import type { Theme } from "./colours.ts";
import { placeOf, SIDE } from "./hilbert.ts";
import type { ViewPort } from "./view-port.ts";

/** What is drawn. */
export interface OverlayState {
  readonly blocks: Iterable<AddressBlock>;
  readonly view: ViewPort;
  readonly theme: Theme;
  /** That of what is pointed at. */
  readonly framed: AddressBlock | null;
  /** The host that stands out: its blocks are framed, and they alone say whose they are. */
  readonly host: string | null;
  readonly cursorPort: number | null;
}

const LEAST_LABEL_WIDTH = 52;
const LEAST_LABEL_HEIGHT = 18;
const FONT = "system-ui, sans-serif";

const rectangles = new WeakMap<AddressBlock, Rectangle>();

/** Draws it anew onto a canvas that is as large as the picture is shown. */
export function drawOverlay(canvas: HTMLCanvasElement, size: number, state: OverlayState): void {
  const { view, theme, framed, host, cursorPort } = state;
  const density = devicePixelRatio;
  const wide = Math.round(size * density);
  if (canvas.width !== wide) {
    canvas.width = wide;
    canvas.height = wide;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, size, size);
  const scale = (size / SIDE) * view.zoom;
  const shown = (block: AddressBlock): Rectangle => scaled(rectangle(block), view, scale);
  context.lineWidth = 1;
  context.strokeStyle = theme === "light" ? "rgb(255 255 255 / 0.85)" : "rgb(13 17 23 / 0.85)";
  const seen = [...state.blocks].filter((block) => isSeen(shown(block), size));
  for (const block of seen) {
    const { left, top, width, height } = shown(block);
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  }
  const named = host === null ? seen : seen.filter((block) => block.host === host);
  for (const block of named) {
    const place = shown(block);
    if (host !== null) frame(context, place, theme, 1);
    if (place.width >= LEAST_LABEL_WIDTH && place.height >= LEAST_LABEL_HEIGHT)
      drawLabel(context, block, place, theme);
  }
  if (framed !== null) frame(context, shown(framed), theme, 2);
  if (cursorPort !== null) {
    const { x, y } = placeOf(cursorPort);
    const place = scaled({ left: x, top: y, width: 1, height: 1 }, view, scale);
    const room = Math.max(0, 8 - place.width) / 2 + 1;
    frame(
      context,
      {
        left: place.left - room,
        top: place.top - room,
        width: place.width + room * 2,
        height: place.height + room * 2,
      },
      theme,
      2,
    );
  }
}

/** The host, and below it the ports where there is room. */
function drawLabel(
  context: CanvasRenderingContext2D,
  { host, base, order, state }: AddressBlock,
  place: Rectangle,
  theme: Theme,
): void {
  const size = Math.min(13, Math.max(10, place.height / 4));
  const range = `${base}–${base + 2 ** order - 1}`;
  context.font = `400 ${size - 1.5}px ${FONT}`;
  const hasRoom = place.height >= size * 3.2 && context.measureText(range).width <= place.width - 8;
  const lines = hasRoom ? [host, range] : [host];
  context.save();
  context.beginPath();
  context.rect(place.left + 2, place.top, place.width - 4, place.height);
  context.clip();
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = theme === "light" ? "rgb(255 255 255 / 0.9)" : "rgb(13 17 23 / 0.9)";
  context.fillStyle = theme === "light" ? "#10151c" : "#f2f5f8";
  const x = place.left + place.width / 2;
  const top = place.top + place.height / 2 - ((lines.length - 1) * size * 1.2) / 2;
  lines.forEach((line, at) => {
    context.font = `${at === 0 && state === "leased" ? 600 : 400} ${at === 0 ? size : size - 1.5}px ${FONT}`;
    const text = shortened(context, line, place.width - 8);
    context.strokeText(text, x, top + at * size * 1.2);
    context.fillText(text, x, top + at * size * 1.2);
  });
  context.restore();
}

function shortened(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  const part = Math.floor((text.length * width) / context.measureText(text).width) - 1;
  return `${text.slice(0, Math.max(1, part))}…`;
}

function frame(context: CanvasRenderingContext2D, place: Rectangle, theme: Theme, width: number): void {
  const [inner, outer] = theme === "light" ? ["#ffffff", "#10151c"] : ["#10151c", "#ffffff"];
  context.lineWidth = width + 2;
  context.strokeStyle = inner;
  context.strokeRect(place.left, place.top, place.width, place.height);
  context.lineWidth = width;
  context.strokeStyle = outer;
  context.strokeRect(place.left, place.top, place.width, place.height);
}

function rectangle(block: AddressBlock): Rectangle {
  const known = rectangles.get(block);
  if (known !== undefined) return known;
  const made = rectangleOf(block);
  rectangles.set(block, made);
  return made;
}

function scaled({ left, top, width, height }: Rectangle, view: ViewPort, scale: number): Rectangle {
  return {
    left: (left - view.left) * scale,
    top: (top - view.top) * scale,
    width: width * scale,
    height: height * scale,
  };
}

function isSeen({ left, top, width, height }: Rectangle, size: number): boolean {
  return left < size && top < size && left + width > 0 && top + height > 0;
}
