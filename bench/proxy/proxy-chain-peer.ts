/** The proxy of the npm package `proxy-chain`, without anything switched on. */
import { Server } from "proxy-chain";

await new Server({ host: "127.0.0.1", port: Number(process.argv[2]), verbose: false }).listen();
