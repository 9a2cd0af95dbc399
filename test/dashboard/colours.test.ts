/** The colours of the port map, also as people see them who see fewer. */
import { expect, test } from "vitest";
import {
  type Colour,
  hostColour,
  packed,
  type PortCell,
  portColour,
  type Theme,
  USE_LEVELS,
  useLevelOf,
} from "../../src/dashboard/port-map/colours.ts";
import { HostHues } from "../../src/dashboard/port-map/host-hues.ts";

const THEMES: readonly Theme[] = ["light", "dark"];
const HUE_COUNT = 8;
/** Differences in OKLab, times 100: about 2 can just be seen side by side. */
const CLEARLY = 10;
/** A tint that was mixed with the paper is still seen on it. */
const SEEN = 4;

/** Machado, Oliveira and Fernandes 2009, for those who lack a kind of cones; by linear light. */
const SIGHTS: Readonly<Record<string, readonly (readonly [number, number, number])[]>> = {
  usual: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

test.each(THEMES)("[PG2] eight hosts can be told apart in the %s theme, with each kind of sight", (theme) => {
  for (const sight of Object.keys(SIGHTS)) {
    for (let a = 0; a < HUE_COUNT; a += 1) {
      for (let b = 0; b < a; b += 1) {
        const apart = difference(hostColour(a, theme), hostColour(b, theme), sight);
        expect(apart, `${sight}: ${a} and ${b}`).toBeGreaterThan(CLEARLY);
      }
    }
  }
});

test.each(THEMES)("[PG2] hosts beyond the eighth have other colours in the %s theme", (theme) => {
  const all = Array.from({ length: 3 * HUE_COUNT }, (_, at) => packed(hostColour(at, theme)));
  expect(new Set(all).size).toBe(all.length);
});

test.each(THEMES)(
  "[PG1] free is the paper, reserved is grey, and the use is told by a rising colour in the %s theme",
  (theme) => {
    const free = portColour(cell({ state: "free", hueIndex: -1 }), 0, 0, theme);
    const reserved = portColour(cell({ state: "reserved", hueIndex: -1 }), 0, 0, theme);
    expect(Math.max(...reserved) - Math.min(...reserved)).toBeLessThan(20);
    for (let hueIndex = 0; hueIndex < HUE_COUNT; hueIndex += 1) {
      let before = 0;
      for (let useLevel = 0; useLevel <= USE_LEVELS; useLevel += 1) {
        const apart = difference(portColour(cell({ hueIndex, useLevel }), 0, 0, theme), free, "usual");
        expect(apart).toBeGreaterThan(before);
        before = apart;
      }
      expect(portColour(cell({ hueIndex, useLevel: USE_LEVELS }), 0, 0, theme)).toEqual(
        hostColour(hueIndex, theme),
      );
      const unused = portColour(cell({ hueIndex, useLevel: 0 }), 0, 0, theme);
      expect(difference(unused, free, "usual"), `unused ${hueIndex}`).toBeGreaterThan(SEEN);
    }
  },
);

test("[PG1] quarantine is hatched: of each row of four places two are strong and two are faint", () => {
  const quarantined = cell({ state: "quarantined" });
  for (let y = 0; y < 8; y += 1) {
    const row = Array.from({ length: 4 }, (_, x) => packed(portColour(quarantined, x, y, "light")));
    expect(new Set(row).size).toBe(2);
    expect(row.filter((each) => each === row[0])).toHaveLength(2);
  }
});

test("[PG1] what does not stand out is fainter, and nearer to the paper", () => {
  const free = portColour(cell({ state: "free" }), 0, 0, "dark");
  const usual = portColour(cell({}), 0, 0, "dark");
  const dimmed = portColour(cell({ isDimmed: true }), 0, 0, "dark");
  expect(difference(dimmed, free, "usual")).toBeLessThan(difference(usual, free, "usual") / 2);
});

test("[PG1] none in use is told from few, and all from nearly all", () => {
  expect(useLevelOf(0, 4096)).toBe(0);
  expect(useLevelOf(1, 4096)).toBe(1);
  expect(useLevelOf(64, 64)).toBe(USE_LEVELS);
  expect(useLevelOf(900, 64)).toBe(USE_LEVELS);
  expect(packed([1, 2, 3])).toBe(0xff030201);
});

test("[PG2] a host keeps its hue when others come and go", () => {
  const hues = new HostHues();
  hues.see(["web-2", "web-1"]);
  expect([hues.indexOf("web-1"), hues.indexOf("web-2"), hues.indexOf("web-0")]).toEqual([0, 1, -1]);
  hues.see(["web-0", "web-2"]);
  expect([hues.indexOf("web-1"), hues.indexOf("web-2"), hues.indexOf("web-0")]).toEqual([0, 1, 2]);
});

function cell(of: Partial<PortCell>): PortCell {
  return { state: "leased", hueIndex: 0, useLevel: 5, isDimmed: false, ...of };
}

function difference(a: Colour, b: Colour, sight: string): number {
  const [one, other] = [okLab(a, sight), okLab(b, sight)];
  return 100 * Math.hypot(...one.map((value, at) => value - other[at]!));
}

function okLab(colour: Colour, sight: string): readonly number[] {
  const linear = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const [red, green, blue] = SIGHTS[sight]!.map((row) =>
    Math.min(
      1,
      Math.max(
        0,
        row.reduce((sum, factor, at) => sum + factor * linear[at]!, 0),
      ),
    ),
  ) as [number, number, number];
  const long = Math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue);
  const medium = Math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue);
  const small = Math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue);
  return [
    0.2104542553 * long + 0.793617785 * medium - 0.0040720468 * small,
    1.9779984951 * long - 2.428592205 * medium + 0.4505937099 * small,
    0.0259040371 * long + 0.7827717662 * medium - 0.808675766 * small,
  ];
}
