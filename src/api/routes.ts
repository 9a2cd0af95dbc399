/**
 * The routes of the edge's API that answer JSON to a token: administration and gateway tokens. The
 * Worker serves them, the OpenAPI document lists them, and the client calls them. [WK16]
 */
import { z } from "zod";
import { tenantNameSchema } from "../wire/pool-policy-schema.ts";
import { auditQuerySchema, auditSchema } from "./audit-schemas.ts";
import { eventsQuerySchema, eventsSchema } from "./event-schemas.ts";
import {
  policyChangesSchema,
  policyQuerySchema,
  policySchema,
  tenantChangesSchema,
  tenantSchema,
  tenantsSchema,
} from "./policy-schemas.ts";
import { holdersQuerySchema, holdersSchema, leasesQuerySchema, leasesSchema } from "./holder-schemas.ts";
import {
  addressSchema,
  edgeSchema,
  gatewayTokenSchema,
  hostSchema,
  ipChangesSchema,
  ipSchema,
  nameSchema,
  poolHostSchema,
  poolIpSchema,
  poolNamesSchema,
  poolSchema,
  settingsSchema,
} from "./schemas.ts";
import { ACCESS_ROUTES } from "./access-routes.ts";
import { copyQuerySchema, edgeListingSchema } from "./copy-schemas.ts";
import { answers, type ApiRoute, takes } from "./route-shapes.ts";

const inPool = z.object({ pool: nameSchema });
const ofPool = z.object({ pool: nameSchema, ip: ipSchema });
const tenantOfPool = z.object({ pool: nameSchema, tenant: tenantNameSchema });
const hostOfPool = z.object({ pool: nameSchema, host: nameSchema });

/** All of them, by what they do. */
export const ROUTES = {
  ...ACCESS_ROUTES,
  listPools: {
    method: "get",
    path: "/v1/pools",
    summary: "Lists the pools that the token is good for",
    responses: answers("Their names.", poolNamesSchema),
  },
  putPool: {
    method: "put",
    path: "/v1/pools/{pool}",
    summary: "Makes a pool, or changes the settings that are given",
    request: {
      params: inPool,
      body: takes(z.strictObject({ settings: settingsSchema.partial().optional() })),
    },
    responses: answers("The pool.", poolSchema),
  },
  getPool: {
    method: "get",
    path: "/v1/pools/{pool}",
    summary: "Shows a pool",
    request: { params: inPool },
    responses: answers("The pool.", poolSchema),
  },
  listIps: {
    method: "get",
    path: "/v1/pools/{pool}/ips",
    summary: "Lists the addresses of a pool",
    request: { params: inPool },
    responses: answers("All its addresses.", z.object({ ips: z.array(poolIpSchema).readonly() })),
  },
  putIp: {
    method: "put",
    path: "/v1/pools/{pool}/ips/{ip}",
    summary: "Adds an address to a pool, changes what is given of it, or takes its removal back",
    request: { params: ofPool, body: takes(ipChangesSchema) },
    responses: answers("The pool.", poolSchema),
  },
  deleteIp: {
    method: "delete",
    path: "/v1/pools/{pool}/ips/{ip}",
    summary: "Removes an address from a pool: at once from use, and for good when no port of it is held",
    request: { params: ofPool },
    responses: answers("The pool, in which the address is retiring or gone.", poolSchema),
  },
  drainIp: {
    method: "post",
    path: "/v1/pools/{pool}/ips/{ip}/drain",
    summary: "Empties an address, which stays in the pool: its hosts serve others, and no flow is cut",
    request: { params: ofPool },
    responses: answers("The pool, in which the address drains.", poolSchema),
  },
  resumeIp: {
    method: "post",
    path: "/v1/pools/{pool}/ips/{ip}/resume",
    summary: "Ends the drain of an address: hosts may serve it again",
    request: { params: ofPool },
    responses: answers("The pool.", poolSchema),
  },
  drainHost: {
    method: "post",
    path: "/v1/pools/{pool}/hosts/{host}/drain",
    summary: "Empties a host: others serve its addresses, and no flow is cut",
    request: { params: hostOfPool },
    responses: answers("The pool, in which the host drains.", poolSchema),
  },
  resumeHost: {
    method: "post",
    path: "/v1/pools/{pool}/hosts/{host}/resume",
    summary: "Ends the drain of a host: it is assigned addresses again",
    request: { params: hostOfPool },
    responses: answers("The pool.", poolSchema),
  },
  deleteHost: {
    method: "delete",
    path: "/v1/pools/{pool}/hosts/{host}",
    summary:
      "Forgets a host that is gone for good: its static slot ends, and is another's after the quarantine",
    request: { params: hostOfPool },
    responses: answers("The pool without the host.", poolSchema),
  },
  listHosts: {
    method: "get",
    path: "/v1/pools/{pool}/hosts",
    summary: "Lists the hosts of a pool",
    request: { params: inPool },
    responses: answers(
      "Every host that ever enlisted.",
      z.object({ hosts: z.array(poolHostSchema).readonly() }),
    ),
  },
  getPolicy: {
    method: "get",
    path: "/v1/pools/{pool}/policy",
    summary: "Shows who may send what through a pool; for its hosts too, which decide by it",
    request: { params: inPool, query: policyQuerySchema },
    responses: answers("The policy.", policySchema),
  },
  putPolicy: {
    method: "put",
    path: "/v1/pools/{pool}/policy",
    summary: "Changes what is given of a pool's policy; its tenants have routes of their own",
    request: { params: inPool, body: takes(policyChangesSchema) },
    responses: answers("The policy.", policySchema),
  },
  listTenants: {
    method: "get",
    path: "/v1/pools/{pool}/tenants",
    summary: "Lists the tenants of which the policy of a pool says something",
    request: { params: inPool },
    responses: answers("What holds for them, and for all others.", tenantsSchema),
  },
  getTenant: {
    method: "get",
    path: "/v1/pools/{pool}/tenants/{tenant}",
    summary: "Shows what holds for a tenant of a pool",
    request: { params: tenantOfPool },
    responses: answers("What holds for it.", tenantSchema),
  },
  putTenant: {
    method: "put",
    path: "/v1/pools/{pool}/tenants/{tenant}",
    summary: "Names a tenant to a pool, or changes what is given of it",
    request: { params: tenantOfPool, body: takes(tenantChangesSchema) },
    responses: answers("What holds for it.", tenantSchema),
  },
  deleteTenant: {
    method: "delete",
    path: "/v1/pools/{pool}/tenants/{tenant}",
    summary: "Says nothing of a tenant any more: it is as any other",
    request: { params: tenantOfPool },
    responses: answers("What holds for it.", tenantSchema),
  },
  getIp: {
    method: "get",
    path: "/v1/ips/{ip}",
    summary: "Shows who holds which ports of an address",
    request: { params: z.object({ ip: ipSchema }) },
    responses: answers("The table as it stands now.", addressSchema),
  },
  getHost: {
    method: "get",
    path: "/v1/hosts/{host}",
    summary: "Shows a host in every pool that knows it and that the token is good for",
    request: { params: z.object({ host: nameSchema }) },
    responses: answers("The host.", hostSchema),
  },
  findHolders: {
    method: "get",
    path: "/v1/holders",
    summary: "Says which host held a port at a time, and what its flow log knows of it",
    request: { query: holdersQuerySchema },
    responses: answers("Who held it, or that nobody did, or that it is not known.", holdersSchema),
  },
  listLeases: {
    method: "get",
    path: "/v1/leases",
    summary: "Lists the latest leases on a port, and so who could use it",
    request: { query: leasesQuerySchema },
    responses: answers("Those in pools that the token is good for.", leasesSchema),
  },
  listChanges: {
    method: "get",
    path: "/v1/audit",
    summary:
      "Lists what administrators have changed in a pool or in the register, or tried to, in the order of time",
    request: { query: auditQuerySchema },
    responses: answers("Entries of its log.", auditSchema),
  },
  listEvents: {
    method: "get",
    path: "/v1/events",
    summary: "Lists what happened to a pool or to an address, the newest first",
    request: { query: eventsQuerySchema },
    responses: answers("Events, at most as many as asked for.", eventsSchema),
  },
  getEdge: {
    method: "get",
    path: "/v1/edge",
    summary: "Shows what the isolate that answers did since it began",
    responses: answers("Its counters.", edgeSchema),
  },
  listEdgeFiles: {
    method: "get",
    path: "/v1/edge/copy",
    summary: "Lists the databases of an edge on a machine of its own, for a standby that copies them",
    request: { query: copyQuerySchema },
    responses: answers("Its databases, and by what its keys are known.", edgeListingSchema),
  },
  makeGatewayToken: {
    method: "post",
    path: "/v1/gateway-tokens",
    summary: "Makes a token for the gateways of a pool",
    responses: answers("The token, and where to use it.", gatewayTokenSchema),
  },
} as const satisfies Readonly<Record<string, ApiRoute>>;
