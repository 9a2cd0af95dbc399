/** What is asked of the databases by each driver, in Node and in a Worker alike. */
import { AbstractConnector, Redis } from "ioredis";
import { Client, type ClientConfig } from "pg";
import type postgres from "postgres";
import type { NodeSocket } from "../../src/sdk/node/node-socket.ts";

/** Who asks whom; the host is a name for certificates and never looked up here. */
export interface DatabaseCall {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** What a driver has got. */
export interface DriverResult {
  /** From where the database sees the connection. */
  readonly from: string;
  readonly isSecure: boolean;
  /** Of a text of a million characters, twice over. */
  readonly length: number;
  /** Of a division by zero: the driver is still usable after it. */
  readonly refused: string;
}

const LONG = "select repeat('x', 1000000) as long";
const WHO = `select host(inet_client_addr()) as from,
  (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as secure`;

/** `pg`, over a stream. */
export async function askByPg(
  { host, port, user, password }: DatabaseCall,
  stream: () => NodeSocket,
  ssl: ClientConfig["ssl"],
): Promise<DriverResult> {
  const client = new Client({
    host,
    port,
    user,
    password,
    database: "postgres",
    ssl,
    stream,
  });
  await client.connect();
  const who = await client.query(WHO);
  const echoed = await client.query("select length($1::text) as length", ["y".repeat(1_000_000)]);
  const long = await client.query(LONG);
  const refused = await codeOf(client.query("select 1/0"));
  await client.query("select 1");
  await client.end();
  return {
    from: who.rows[0].from,
    isSecure: who.rows[0].secure,
    length: long.rows[0].long.length + echoed.rows[0].length,
    refused,
  };
}

/** `postgres`, by whatever connects it. */
export async function askByPostgres(sql: postgres.Sql): Promise<DriverResult> {
  const [who] = await sql.unsafe(WHO);
  const [echoed] = await sql`select length(${"y".repeat(1_000_000)}::text) as length`;
  const [long] = await sql.unsafe(LONG);
  const refused = await codeOf(sql`select 1/0`);
  await sql`select 1`;
  await sql.end();
  return {
    from: who!["from"],
    isSecure: who!["secure"],
    length: long!["long"].length + echoed!["length"],
    refused,
  };
}

/** Which error it is. */
async function codeOf(asking: PromiseLike<unknown>): Promise<string> {
  try {
    await asking;
    return "none";
  } catch (fault) {
    return (fault as { readonly code: string }).code;
  }
}

/** `ioredis`, over a stream. */
export async function askByRedis(
  { host, port, password }: DatabaseCall,
  stream: () => NodeSocket,
  isSecure: boolean,
): Promise<DriverResult> {
  class EgressConnector extends AbstractConnector {
    connect(): Promise<never> {
      this.connecting = true;
      const made = stream();
      this.stream = made as never;
      return Promise.resolve(made as never);
    }
  }
  const redis = new Redis({
    host,
    port,
    password,
    Connector: EgressConnector as never,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  const clients = (await redis.client("LIST")) as string;
  await redis.set("long", "x".repeat(1_000_000));
  const long = await redis.get("long");
  const refused = await redis.incr("long").catch((fault: Error) => fault.message);
  const length = (await redis.strlen("long")) + long!.length;
  await redis.quit();
  return { from: /addr=([\d.]+):/.exec(clients)![1]!, isSecure, length, refused: String(refused) };
}
