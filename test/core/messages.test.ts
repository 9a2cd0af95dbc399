/** The words that every release of a host and of an edge must share. */
import { expect, test } from "vitest";
import { HEARTBEAT, HEARTBEAT_ANSWER, PROTOCOL_VERSION } from "../../src/core/messages.ts";

test("[DO15] [ME1] the words of the heartbeat go with the version of the protocol", () => {
  expect({ PROTOCOL_VERSION, HEARTBEAT, HEARTBEAT_ANSWER }).toEqual({
    PROTOCOL_VERSION: 1,
    HEARTBEAT: "ping",
    HEARTBEAT_ANSWER: "pong",
  });
});
