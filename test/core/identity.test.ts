import { describe, expect, it } from "vitest";
import { type Identity, ISSUED_ROLES, permitsPool, poolsAllowed } from "../../src/core/identity.ts";

const bearing = (...pools: string[]): Identity => ({
  role: "client",
  subject: "shop",
  pools,
  expiresAtMs: 0,
});

describe("a token", () => {
  it("[ID5] is good for every pool that it names, first or last", () => {
    for (const pool of ["eu", "us", "asia"]) {
      expect(permitsPool(bearing("eu", "us", "asia"), pool)).toBe(true);
    }
  });

  it.each([
    ["one that begins as it does", "eu-private"],
    ["one that ends as it does", "private-eu"],
    ["one in which it is", "neutral"],
    ["the beginning of it", "e"],
    ["the end of it", "u"],
    ["another case", "EU"],
    ["a blank beside it", " eu"],
    ["two of its pools at once", "eu,us"],
    ["no pool", ""],
  ])("[ID5] is not good for %s", (_name, pool) => {
    expect(permitsPool(bearing("eu", "us"), pool)).toBe(false);
    expect(permitsPool(bearing("us", "eu"), pool)).toBe(false);
  });

  it("[ID5] is good for every pool by * alone, wherever that stands", () => {
    expect(permitsPool(bearing("*"), "eu")).toBe(true);
    expect(permitsPool(bearing("us", "*"), "eu")).toBe(true);
    expect(permitsPool(bearing("e*", "*u", "eu*", "**"), "eu")).toBe(false);
    expect(permitsPool(bearing(), "eu")).toBe(false);
  });

  it("[ID5] says which pools it is for when it is refused one", () => {
    expect(poolsAllowed(bearing("eu", "us"))).toBe("It is for eu, us.");
    expect(poolsAllowed(bearing())).toBe("It names no pool.");
  });
});

it("[ID1] an operator's key signs every role but that of the edge", () => {
  expect(ISSUED_ROLES.toSorted()).toEqual(["admin", "client", "host", "router", "viewer"]);
});
