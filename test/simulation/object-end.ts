/** The object's end of a connection: what is sent on it leaves with the turn. */
import type { Acceptance, ObjectSocket } from "../../durable-objects/platform/object-platform.ts";
import type { Connection } from "./connection.ts";

/** As the object's program knows it, and as the network does. */
export interface ObjectEnd extends ObjectSocket {
  readonly object: EndOwner;
  readonly tags: readonly string[];
  readonly connection: Connection;
  /** As of the last turn that was kept. */
  readyState: number;
}

/** Whose end it is. */
interface EndOwner {
  heard(end: ObjectEnd, text: string): void;
  peerClosed(end: ObjectEnd): void;
  holds(end: ObjectEnd): boolean;
}

/** As of WebSockets. */
export const CONNECTION_OPEN = 1;
const CONNECTION_CLOSING = 2;
export const CONNECTION_CLOSED = 3;

/** `leave` does something when the present turn is on disk. */
export function makeEnd(
  object: EndOwner,
  connection: Connection,
  { tags, attachment }: Acceptance,
  leave: (end: ObjectEnd, what: () => void) => void,
): ObjectEnd {
  let attached = JSON.stringify(attachment);
  const end: ObjectEnd = {
    object,
    tags,
    connection,
    readyState: CONNECTION_OPEN,
    send: (text) => {
      if (end.readyState !== CONNECTION_OPEN) throw new Error("the socket is not open");
      leave(end, () => connection.toPeer(text));
    },
    close: (_code, reason) => {
      if (end.readyState !== CONNECTION_OPEN) return;
      end.readyState = CONNECTION_CLOSING;
      leave(end, () => connection.closeToPeer(reason));
    },
    serializeAttachment: (value) => {
      attached = JSON.stringify(value);
    },
    deserializeAttachment: () => JSON.parse(attached) as unknown,
  };
  return end;
}
