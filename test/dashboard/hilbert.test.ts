/** Where ports lie in the picture, and which part of it is seen. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_ORDER, MIN_ORDER, portCountOf } from "../../src/core/port-block.ts";
import { placeOf, portAt, SIDE } from "../../src/dashboard/port-map/hilbert.ts";
import { rectangleOf } from "../../src/dashboard/port-map/picture.ts";
import { moved, showing, type ViewPort, WHOLE, zoomed } from "../../src/dashboard/port-map/view-port.ts";

const place = fc.double({ min: 0, max: SIDE - 0.001, noNaN: true });
const times = fc.double({ min: 0.05, max: 20, noNaN: true });

test("[PG1] each port has a place of its own, beside those of its neighbours, from corner to corner", () => {
  const seen = new Set<number>();
  let before = placeOf(0);
  expect(before).toEqual({ x: 0, y: 0 });
  for (let port = 0; port < SIDE * SIDE; port += 1) {
    const now = placeOf(port);
    seen.add(now.y * SIDE + now.x);
    expect(portAt(now.x, now.y)).toBe(port);
    if (port > 0) expect(Math.abs(now.x - before.x) + Math.abs(now.y - before.y)).toBe(1);
    before = now;
  }
  expect(seen.size).toBe(SIDE * SIDE);
  expect(before).toEqual({ x: SIDE - 1, y: 0 });
});

test("[PG1] a block is a square or two of them, and exactly its ports lie in it", () => {
  const block = fc.integer({ min: MIN_ORDER, max: MAX_ORDER }).chain((order) =>
    fc.record({
      order: fc.constant(order),
      base: fc
        .integer({ min: 0, max: SIDE ** 2 / portCountOf(order) - 1 })
        .map((at) => at * portCountOf(order)),
    }),
  );
  fc.assert(
    fc.property(block, ({ base, order }) => {
      const { left, top, width, height } = rectangleOf({ base, order });
      expect(width * height).toBe(portCountOf(order));
      expect([1, 2]).toContain(Math.max(width, height) / Math.min(width, height));
      for (let x = left; x < left + width; x += 1) {
        for (let y = top; y < top + height; y += 1) {
          expect(portAt(x, y)).toBeGreaterThanOrEqual(base);
          expect(portAt(x, y)).toBeLessThan(base + portCountOf(order));
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("[PG10] what is seen stays inside the picture, whatever is zoomed and moved, and the place pointed at stays where it is", () => {
  const steps = fc.array(fc.record({ times, x: place, y: place, byX: place, byY: place }), { maxLength: 12 });
  fc.assert(
    fc.property(steps, (list) => {
      let view: ViewPort = WHOLE;
      for (const { times: zoom, x, y, byX, byY } of list) {
        const closer = zoomed(view, Math.max(1, zoom), x, y);
        const isInside = x >= view.left && x <= view.left + SIDE / view.zoom;
        // Closer there is always room for what is pointed at.
        if (isInside) expect((x - closer.left) * closer.zoom).toBeCloseTo((x - view.left) * view.zoom, 5);
        view = moved(zoomed(view, zoom, x, y), byX - 128, byY - 128);
        expect(view.left).toBeGreaterThanOrEqual(0);
        expect(view.top).toBeGreaterThanOrEqual(0);
        expect(view.left + SIDE / view.zoom).toBeLessThanOrEqual(SIDE + 1e-9);
        expect(view.top + SIDE / view.zoom).toBeLessThanOrEqual(SIDE + 1e-9);
      }
    }),
  );
});

test("[PG10] where keys go to is seen", () => {
  const at = fc.integer({ min: 0, max: SIDE - 1 });
  fc.assert(
    fc.property(times, place, place, at, at, (zoom, left, top, x, y) => {
      const view = showing(zoomed(WHOLE, Math.max(1, zoom), left, top), x, y);
      expect(x).toBeGreaterThanOrEqual(view.left - 1e-9);
      expect(x + 1).toBeLessThanOrEqual(view.left + SIDE / view.zoom + 1e-9);
      expect(y).toBeGreaterThanOrEqual(view.top - 1e-9);
      expect(y + 1).toBeLessThanOrEqual(view.top + SIDE / view.zoom + 1e-9);
    }),
  );
});
