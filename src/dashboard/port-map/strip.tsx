/** The whole range of ports in one line, for those to whom the picture says nothing. */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { PORT_END, UNIT_COUNT, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import type { AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { beforeFrame } from "../parts/signal.ts";
import { packed, portColour, type Theme } from "./colours.ts";
import type { HostHues } from "./host-hues.ts";
import { cellOf, usesOf } from "./picture.ts";

interface StripProps {
  readonly pool: PoolStore;
  readonly store: AddressStore;
  readonly hues: HostHues;
  readonly theme: Theme;
  readonly host: string | null;
  readonly markedPort: number | null;
  readonly pointed: (port: number | null) => void;
  readonly moveCursor: (port: number | null) => void;
}

const MARKS = [0, 16_384, 32_768, 49_152, 65_535] as const;

/** The strip with its marks. What it shows is in the table too, so nothing of it is for keys. */
export function Strip(props: StripProps) {
  const { markedPort, pointed, moveCursor } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const paint = useRef(() => {
    const { pool, store, hues, theme, host } = latest.current;
    const context = canvas.current?.getContext("2d");
    if (context === null || context === undefined) return;
    const image = context.createImageData(UNIT_COUNT, 1);
    const pixels = new Uint32Array(image.data.buffer);
    const seen = { theme, host, uses: usesOf(pool, store.ip) };
    hues.see([...store.blocks.values()].map((block) => block.host));
    for (let unit = 0; unit < UNIT_COUNT; unit += 1)
      pixels[unit] = packed(portColour(cellOf(unit, store.units[unit] ?? null, hues, seen), unit, 0, theme));
    context.putImageData(image, 0, 0);
  }).current;
  useEffect(() => {
    const ends = [props.store.changed.listen(paint), props.pool.watchedChanged.listen(paint)];
    return () => {
      for (const end of ends) end();
    };
  }, [props.store, props.pool]);
  useLayoutEffect(() => beforeFrame(paint));
  const portAt = (event: PointerEvent): number => {
    const { left, width } = canvas.current!.getBoundingClientRect();
    return Math.min(PORT_END - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * PORT_END)));
  };
  return (
    <div class="strip" aria-hidden="true">
      <div class="strip-line">
        <canvas
          ref={canvas}
          width={UNIT_COUNT}
          height={1}
          data-testid="port-strip"
          onPointerMove={(event) => pointed(portAt(event))}
          onPointerLeave={() => pointed(null)}
          onClick={(event) => moveCursor(portAt(event as unknown as PointerEvent))}
        />
        {markedPort !== null && (
          <span
            class="strip-mark"
            style={{ left: `${((Math.floor(markedPort / UNIT_PORT_COUNT) + 0.5) / UNIT_COUNT) * 100}%` }}
          />
        )}
      </div>
      <div class="strip-numbers">
        {MARKS.map((port) => (
          <span key={port}>{port}</span>
        ))}
      </div>
    </div>
  );
}
