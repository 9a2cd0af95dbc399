/** Where the host and its edge listen: never a destination by accident. */
import { expect, test } from "vitest";
import { OwnPlaces } from "../../src/agent/egress/own-places.ts";

const special = (ip: string): boolean => ip.startsWith("127.") || ip === "::1";

test("[DE14] a place is an address and a port, however the address was written", async () => {
  const places = new OwnPlaces(() => false);
  places.add("::ffff:127.0.0.1", 8080);
  places.add("::1", 3128);
  expect(await places.isOwnPlace("127.0.0.1", 8080)).toBe(true);
  expect(await places.isOwnPlace("127.0.0.1", 3128)).toBe(false);
  expect(await places.isOwnPlace("127.0.0.2", 8080)).toBe(false);
  expect(await places.isOwnPlace("::1", 3128)).toBe(true);
  // A kernel takes who dials no address at all to the loopback one.
  expect(await places.isOwnPlace("0.0.0.0", 8080)).toBe(true);
  expect(await places.isOwnPlace("::", 3128)).toBe(true);
  expect(await places.isOwnPlace("::", 8080)).toBe(false);
});

test("[DE14] who listens at every address listens at each of the machine's, and at no other", async () => {
  const places = new OwnPlaces((ip) => Promise.resolve(ip === "10.0.0.5"));
  places.add("0.0.0.0", 8080);
  places.add("::", 3128);
  expect(await places.isOwnPlace("10.0.0.5", 8080)).toBe(true);
  expect(await places.isOwnPlace("10.0.0.5", 3128)).toBe(true);
  expect(await places.isOwnPlace("10.0.0.6", 8080)).toBe(false);
  expect(await places.isOwnPlace("10.0.0.5", 80)).toBe(false);
});

test("[DE14] the edge is known by its address, or by its name and a special address", async () => {
  const places = new OwnPlaces(() => false);
  await places.addEdge(new URL("http://127.0.0.7:8787"), special);
  await places.addEdge(new URL("https://[2001:db8::7]"), special);
  await places.addEdge(new URL("http://localhost:9000"), special);
  await places.addEdge(new URL("https://edge.invalid"), special);
  expect(await places.isOwnPlace("127.0.0.7", 8787)).toBe(true);
  expect(await places.isOwnPlace("2001:db8::7", 443)).toBe(true);
  expect((await places.isOwnPlace("127.0.0.1", 9000)) || (await places.isOwnPlace("::1", 9000))).toBe(true);
  expect(places.isOwnName("localhost", 9000)).toBe(true);
  expect(places.isOwnName("edge.invalid", 443)).toBe(true);
  expect(places.isOwnName("edge.invalid", 80)).toBe(false);
  expect(places.isOwnName("127.0.0.7", 8787)).toBe(false);
});

test("[DE14] an address of the edge that is everybody's is not taken for the edge", async () => {
  const places = new OwnPlaces(() => false);
  await places.addEdge(new URL("https://localhost"), () => false);
  expect(await places.isOwnPlace("127.0.0.1", 443)).toBe(false);
  expect(places.isOwnName("localhost", 443)).toBe(true);
});
