/** TLS origins with a certificate of the tests' own, HTTP/2 or not. */
import { once } from "node:events";
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Settings,
} from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Origin } from "./gateway-rig.ts";

/** For secure.test and 127.0.0.1, valid for a century; trusted by nobody but these tests. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBojCCAUegAwIBAgIURSIjoIN6jaoqqvkWrpscGJb1rVMwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLc2VjdXJlLnRlc3QwIBcNMjYxMTIzMDYxODA0WhgPMjEyNjEw
MzAwNjE4MDRaMBYxFDASBgNVBAMMC3NlY3VyZS50ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEMbeGb/6lm9/Czjnc+lKSsss2PMXNKUQ5SyYJmHP+Wfrw84oV
RxG6aKLbmlt2BFSf078rMtzL4/2nt63inLLf2KNxMG8wHQYDVR0OBBYEFHH0RNFk
/1A/Paq2X89nOf3XK8KSMB8GA1UdIwQYMBaAFHH0RNFk/1A/Paq2X89nOf3XK8KS
MA8GA1UdEwEB/wQFMAMBAf8wHAYDVR0RBBUwE4ILc2VjdXJlLnRlc3SHBH8AAAEw
CgYIKoZIzj0EAwIDSQAwRgIhAOF+PJcceZkIV3juQO6svkEkYrL3/I5XazbA/DWj
kD8KAiEA0Ffnr7I+YSWBTzlRglJJbnqIG2SwywdsxSullq9iHZE=
-----END CERTIFICATE-----
`;

/** The private part. */
export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgicU1uRI7mW5o5HfA
qHljBNrd0ZaD3FnscLlvTs+ig/yhRANCAAQxt4Zv/qWb38LOOdz6UpKyyzY8xc0p
RDlLJgmYc/5Z+vDzihVHEbpootuaW3YEVJ/Tvysy3Mvj/ae3reKcst/Y
-----END PRIVATE KEY-----
`;

/**
 * Tells what a connection of a TLS server runs over, which alone can be reset. A server's own
 * connections only: one port of a client may have a connection to each of several.
 */
export function transportsOf(server: Server): (secure: Socket) => Socket {
  const transports = new Map<string, Socket>();
  server.on("connection", (transport: Socket) => {
    const key = endOf(transport);
    transports.set(key, transport);
    transport.once("close", () => {
      if (transports.get(key) === transport) transports.delete(key);
    });
  });
  return (secure) => transports.get(endOf(secure)) ?? secure;
}

function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** A secure origin on a free loopback port; `upgrade` events are those of its HTTP/1.1 side. */
export async function startSecureOrigin(
  speaks: "h1" | "h2",
  listener: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
  settings: Settings = {},
): Promise<Origin> {
  const sockets = new Set<Socket>();
  const server = createSecureServer(
    {
      key: KEY,
      cert: CERTIFICATE,
      allowHTTP1: true,
      ALPNProtocols: speaks === "h2" ? ["h2"] : ["http/1.1"],
      settings,
    },
    listener,
  );
  server.on("secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    server,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
