/** How large the map is shown, and what wheels and pointers do to it. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { beforeFrame } from "../parts/signal.ts";
import { SIDE } from "./hilbert.ts";
import { moved, type ViewPort } from "./view-port.ts";

const MOST_SIZE = 768;
/** Beside the picture there is room for the card and the legend, or they are below it. */
const CARD_WIDTH = 310;
const NARROW = 900;
/** What has moved by less was a click. */
const DRAG_PIXELS = 4;

/** Pixels along a side of the map, as there is room for it. */
export function useSize(box: { readonly current: HTMLElement | null }): number {
  const [size, setSize] = useState(SIDE);
  useLayoutEffect(() => {
    const around = box.current!.closest(".map-layout")!;
    const fit = (): void => setSize(sizeFor(around.clientWidth));
    const observer = new ResizeObserver(() => beforeFrame(fit));
    observer.observe(around);
    fit();
    return () => observer.disconnect();
  }, []);
  return size;
}

/** A wheel turns above the box; `turned` says whether that was for the map, so that the page does not move too. */
export function useWheel(
  box: { readonly current: HTMLElement | null },
  turned: (event: WheelEvent) => boolean,
): void {
  const latest = useRef(turned);
  latest.current = turned;
  useEffect(() => {
    const element = box.current!;
    const listener = (event: WheelEvent): void => {
      if (latest.current(event)) event.preventDefault();
    };
    element.addEventListener("wheel", listener, { passive: false });
    return () => element.removeEventListener("wheel", listener);
  }, []);
}

/** Moves what is seen with the pointer; `scale` is pixels of a port. */
export function useDrag(scale: number, view: ViewPort, setView: (view: ViewPort) => void) {
  const from = useRef<{ x: number; y: number; view: ViewPort; isMoved: boolean } | null>(null);
  return {
    down: (event: PointerEvent): void => {
      if (event.button !== 0) return;
      from.current = { x: event.clientX, y: event.clientY, view, isMoved: false };
    },
    /** Whether it moves the picture. */
    move: (event: PointerEvent): boolean => {
      const start = from.current;
      if (start === null || start.view.zoom === 1) return false;
      const [byX, byY] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.isMoved && Math.hypot(byX, byY) < DRAG_PIXELS) return false;
      if (!start.isMoved) (event.currentTarget as Element).setPointerCapture(event.pointerId);
      start.isMoved = true;
      setView(moved(start.view, -byX / scale, -byY / scale));
      return true;
    },
    /** Whether it had moved the picture. */
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
