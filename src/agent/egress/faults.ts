/**
 * What can go wrong on the way to a destination, and what the client is told: one table from
 * the codes of Node, OpenSSL, c-ares and llhttp to those of `core/problems.ts`. [GW1]
 *
 * Codes decide, never the text of a message.
 */
import { type Problem, PROBLEM_CODES, type ProblemCode } from "../../core/problems.ts";

/** A fault that already knows its problem code. An error, since streams and sockets end with nothing else. */
export class EgressFault extends Error {
  readonly code: ProblemCode;
  readonly detail: string | undefined;
  /** After how long it makes sense to ask again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ProblemCode, detail?: string, cause?: unknown, retryAfterSeconds?: number) {
    super(detail ?? code, { cause });
    this.code = code;
    this.detail = detail;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Of a problem that was found where faults are thrown. */
  static of({ code, detail, retryAfterSeconds }: Problem): EgressFault {
    return new EgressFault(code, detail, undefined, retryAfterSeconds);
  }
}

const PROBLEM_OF: ReadonlyMap<string, ProblemCode> = new Map(
  Object.entries({
    ECONNREFUSED: "connection-refused",
    ETIMEDOUT: "connection-timeout",

    ECONNRESET: "connection-terminated",
    ECONNABORTED: "connection-terminated",
    EPIPE: "connection-terminated",
    ERR_STREAM_PREMATURE_CLOSE: "connection-terminated",

    EHOSTUNREACH: "destination-unroutable",
    EHOSTDOWN: "destination-unroutable",
    ENETUNREACH: "destination-unroutable",
    ENETDOWN: "destination-unroutable",
    EAFNOSUPPORT: "destination-unroutable",
    // Linux: a loopback source towards another network, or a broadcast destination.
    EINVAL: "destination-unroutable",
    EACCES: "destination-unroutable",
    EPERM: "destination-unroutable",
    // What the kernel makes of ICMP errors that anybody on the way may send.
    ENOPROTOOPT: "destination-unroutable",
    EOPNOTSUPP: "destination-unroutable",
    ENOTSUP: "destination-unroutable",
    ENONET: "destination-unroutable",

    EMFILE: "connections-exhausted",
    ENFILE: "connections-exhausted",

    ENOTFOUND: "dns-error",
    ENODATA: "dns-error",
    EFORMERR: "dns-error",
    ESERVFAIL: "dns-error",
    ENOTIMP: "dns-error",
    EREFUSED: "dns-error",
    EBADNAME: "dns-error",
    EBADRESP: "dns-error",
    EBADQUERY: "dns-error",
    ETIMEOUT: "dns-timeout",

    EPROTO: "tls-error",
    ERR_TLS_HANDSHAKE_TIMEOUT: "tls-error",

    ERR_TLS_CERT_ALTNAME_INVALID: "tls-certificate-invalid",
    ERR_TLS_CERT_ALTNAME_FORMAT: "tls-certificate-invalid",
    HOSTNAME_MISMATCH: "tls-certificate-invalid",
    DEPTH_ZERO_SELF_SIGNED_CERT: "tls-certificate-invalid",
    SELF_SIGNED_CERT_IN_CHAIN: "tls-certificate-invalid",
    UNABLE_TO_GET_ISSUER_CERT: "tls-certificate-invalid",
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls-certificate-invalid",
    UNABLE_TO_GET_CRL: "tls-certificate-invalid",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls-certificate-invalid",
    UNABLE_TO_DECRYPT_CERT_SIGNATURE: "tls-certificate-invalid",
    UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: "tls-certificate-invalid",
    ERROR_IN_CERT_NOT_BEFORE_FIELD: "tls-certificate-invalid",
    ERROR_IN_CERT_NOT_AFTER_FIELD: "tls-certificate-invalid",
    PATH_LENGTH_EXCEEDED: "tls-certificate-invalid",
    INVALID_CA: "tls-certificate-invalid",
    INVALID_PURPOSE: "tls-certificate-invalid",

    HPE_HEADER_OVERFLOW: "response-headers-too-large",

    // What an origin sent may be readable and yet not be sent on.
    ERR_INVALID_CHAR: "response-malformed",
    ERR_INVALID_HTTP_TOKEN: "response-malformed",
    ERR_HTTP_INVALID_STATUS_CODE: "response-malformed",
    ERR_HTTP_INVALID_HEADER_VALUE: "response-malformed",
  } as const),
);

/** Families of codes that are too many to list, by what they begin with. */
const PROBLEM_OF_PREFIX: readonly (readonly [string, ProblemCode])[] = [
  ["HPE_", "response-malformed"],
  ["CERT_", "tls-certificate-invalid"],
  ["CRL_", "tls-certificate-invalid"],
  ["ERR_SSL_", "tls-error"],
  ["ERR_TLS_", "tls-error"],
  ["ERR_OSSL_", "tls-error"],
];

const OWN_CODES: ReadonlySet<string> = new Set(PROBLEM_CODES);

/** The problem to tell a client for a fault; `internal-fault` for an unexpected one. */
export function problemOf(fault: unknown): Problem {
  const { code, detail, retryAfterSeconds } = (fault ?? {}) as Readonly<
    Record<"code" | "detail" | "retryAfterSeconds", unknown>
  >;
  if (typeof code !== "string") return { code: "internal-fault" };
  if (OWN_CODES.has(code)) {
    return {
      code: code as ProblemCode,
      ...(typeof detail === "string" ? { detail } : {}),
      ...(typeof retryAfterSeconds === "number" ? { retryAfterSeconds } : {}),
    };
  }
  const known = PROBLEM_OF.get(code);
  if (known !== undefined) return { code: known, detail: code };
  for (const [prefix, problem] of PROBLEM_OF_PREFIX) {
    if (code.startsWith(prefix)) return { code: problem, detail: code };
  }
  return { code: "internal-fault" };
}

/** Whether another address of the same name may be tried: nothing but the connection failed. */
export function isConnectFault(fault: unknown): boolean {
  const { code } = problemOf(fault);
  return code === "connection-refused" || code === "connection-timeout" || code === "destination-unroutable";
}

/** Whether a kept-alive connection may have ended by itself before the request arrived. */
export function isStaleConnection(fault: unknown): boolean {
  return problemOf(fault).code === "connection-terminated";
}
