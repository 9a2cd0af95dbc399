/**
 * The colours of the port map. Hue says the host, how much of the hue there is says the use, hatching says
 * quarantine, grey says reserved, and free ports are the paper itself.
 *
 * The eight hues were sought by a search for those that lie farthest apart for the usual sight and for
 * three that lack a kind of cones, with a contrast of 3 to the paper; hosts beyond the eighth have the
 * same hues darker, then lighter. [PG1] [PG2]
 */

/** In which light the page is shown. */
export type Theme = "light" | "dark";
/** Red, green and blue, 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** What is at a port. */
export type PortState = "reserved" | "free" | "leased" | "quarantined";

/** What a port is painted by. */
export interface PortCell {
  readonly state: PortState;
  /** Of its host among all hosts of the address; -1 for none. */
  readonly hueIndex: number;
  /** 0 for none of the block's ports in use to `USE_LEVELS` for all; null, painted as none, where nobody tells. */
  readonly useLevel: number | null;
  /** Another host is to stand out. */
  readonly isDimmed: boolean;
}

/** Steps in which use is shown. */
export const USE_LEVELS = 8;

const PAPER: Readonly<Record<Theme, Colour>> = { light: [255, 255, 255], dark: [17, 22, 29] };
const RESERVED: Readonly<Record<Theme, Colour>> = { light: [208, 213, 220], dark: [58, 65, 75] };

const HUES: Readonly<Record<Theme, readonly Colour[]>> = {
  light: [
    [32, 69, 147], // blue
    [231, 118, 12], // orange
    [20, 122, 113], // teal
    [187, 91, 182], // orchid
    [60, 137, 250], // azure
    [95, 29, 3], // brown
    [118, 103, 14], // olive
    [56, 21, 96], // plum
  ],
  dark: [
    [97, 117, 237], // blue
    [233, 138, 18], // orange
    [0, 189, 124], // green
    [185, 131, 194], // orchid
    [155, 242, 252], // ice
    [218, 55, 34], // red
    [227, 239, 71], // yellow
    [187, 182, 202], // silver
  ],
};

/** How much of a hue is left at no use, and at each step more. */
const LEAST_OF_HUE = 0.42;
const DIMMED = 0.22;
const HATCH_PERIOD = 4;
/** Hosts beyond the first eight: parts of black (below zero) or white that are mixed in. */
const RINGS = [0, -0.35, 0.35] as const;

/** The whole colour of a host, as the legend shows it. */
export function hostColour(hueIndex: number, theme: Theme): Colour {
  const hues = HUES[theme];
  const hue = hues[hueIndex % hues.length]!;
  const ring = RINGS[Math.floor(hueIndex / hues.length) % RINGS.length]!;
  if (ring === 0) return hue;
  return ring < 0 ? mix([0, 0, 0], hue, 1 + ring) : mix([255, 255, 255], hue, 1 - ring);
}

/** The colour of a port of the picture at place `x`, `y`. */
export function portColour(cell: PortCell, x: number, y: number, theme: Theme): Colour {
  const { state, hueIndex, useLevel, isDimmed } = cell;
  const paper = PAPER[theme];
  if (state === "free") return paper;
  if (state === "reserved") return RESERVED[theme];
  const left = isDimmed ? DIMMED : 1;
  const hue = hostColour(Math.max(0, hueIndex), theme);
  if (state === "quarantined") return mix(paper, hue, (isHatch(x, y) ? 0.7 : 0.12) * left);
  const level = useLevel ?? 0;
  return mix(paper, hue, (LEAST_OF_HUE + ((1 - LEAST_OF_HUE) * level) / USE_LEVELS) * left);
}

/** In which step a block is shown of which so many ports are in use; none in use is told from few. */
export function useLevelOf(inUseCount: number, portCount: number): number {
  const part = Math.min(1, Math.max(0, inUseCount / portCount));
  return Math.ceil(part * USE_LEVELS);
}

/** For style sheets. */
export function cssColour([red, green, blue]: Colour): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** As four bytes of a picture's data, opaque. */
export function packed([red, green, blue]: Colour): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function isHatch(x: number, y: number): boolean {
  return (x + y) % HATCH_PERIOD < 2;
}

function mix(from: Colour, to: Colour, part: number): Colour {
  const at = (index: 0 | 1 | 2): number => Math.round(from[index] + (to[index] - from[index]) * part);
  return [at(0), at(1), at(2)];
}
