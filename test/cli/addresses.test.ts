import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { addressMissing, refuseIfMissing, refuseIfTaken } from "../../src/cli/supervision/addresses.ts";

test("[CI9] a port that is taken is named, with what it is for and what to do", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const place = { host: "127.0.0.1", port, purpose: "the edge" };
  await expect(refuseIfTaken([place], "Use --port.")).rejects.toMatchObject({
    code: "port-taken",
    message: `Port ${port} on 127.0.0.1 is taken by another program; it is wanted for the edge. Use --port.`,
  });
  server.close();
  await once(server, "close");
  await refuseIfTaken([place], "");
});

test("[CI9] an address that this machine lacks is named, with what adds it there", async () => {
  await refuseIfMissing(["127.0.0.1"]);
  await expect(refuseIfMissing(["127.0.0.1", "192.0.2.1"])).rejects.toMatchObject({
    code: "address-missing",
    message: expect.stringContaining("192.0.2.1"),
  });
  expect(addressMissing("127.0.0.10", "darwin").message).toContain("sudo ifconfig lo0 alias 127.0.0.10");
});
