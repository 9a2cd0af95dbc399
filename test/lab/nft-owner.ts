/** Has a session with nft, and ends with its input without a word to it. */
import { NftSession } from "../../src/linux/nft-session.ts";

const session = new NftSession();
await session.run("add table inet owned");
console.log("told");
for await (const _ of process.stdin);
