/**
 * A name server of the laboratory that knows the names of the table of spellings.
 *
 *     node record-server.ts ADDRESS PORT
 */
import { startNameServer } from "../e2e/name-server.ts";
import { LAB_RECORDS } from "./private-networks.ts";

await startNameServer(LAB_RECORDS, { ip: process.argv[2]!, port: Number(process.argv[3]) });
console.log("listening");
