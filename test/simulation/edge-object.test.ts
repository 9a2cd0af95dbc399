/** What the platform of an object promises, when one instance follows another within a moment. */
import { expect, onTestFinished, test } from "vitest";
import type { ObjectPlatform } from "../../durable-objects/platform/object-platform.ts";
import { Chance } from "./chance.ts";
import type { Connection } from "./connection.ts";
import { EdgeObject, type Instance } from "./edge-object.ts";
import { Machine } from "./machine.ts";
import { FAIR_WEATHER, Network } from "./network.ts";
import type { ObjectEnd } from "./object-end.ts";
import { Timeline } from "./timeline.ts";

class Notebook {
  readonly platform: ObjectPlatform;

  constructor(platform: ObjectPlatform) {
    this.platform = platform;
    platform.storage.sql.exec("CREATE TABLE IF NOT EXISTS note (text TEXT)");
  }

  write(text: string): void {
    this.platform.storage.sql.exec("INSERT INTO note VALUES (?)", text);
  }

  read(): unknown[] {
    return this.platform.storage.sql
      .exec("SELECT text FROM note")
      .toArray()
      .map((row) => row["text"]);
  }

  async heard(): Promise<void> {}

  closed(): void {
    this.write("closed");
  }

  async alarm(): Promise<void> {}
}

/** An object on a machine of its own, and how its turns end. */
function newObject() {
  const timeline = new Timeline();
  const network = new Network(timeline, new Chance(1), FAIR_WEATHER);
  const dirty = new Set<Instance<unknown>>();
  const machine = new Machine("dc-1", timeline, 1, 0);
  const object = new EdgeObject(
    "ip 192.0.2.1",
    machine,
    network,
    dirty,
    (platform) => new Notebook(platform),
  );
  onTestFinished(() => object.close());
  const endTurns = (): void => {
    for (const instance of dirty) object.endTurn(instance as Instance<Notebook>);
    dirty.clear();
  };
  return { object, endTurns };
}

test("an instance finds nothing of what the one before it lost, and keeps what it writes itself", () => {
  const { object, endTurns } = newObject();
  object.turn((notebook) => notebook.write("kept"));
  endTurns();
  object.turn((notebook) => notebook.write("lost"));
  object.crash();
  object.turn((notebook) => notebook.write("kept as well"));
  expect(object.program!.read()).toEqual(["kept", "kept as well"]);
  endTurns();
  object.crash();
  object.turn(() => {});
  expect(object.program!.read()).toEqual(["kept", "kept as well"]);
});

test("a connection whose end could not be noted is gone all the same, as in workerd", async () => {
  const { object, endTurns } = newObject();
  const ends: ObjectEnd[] = [];
  object.accept(
    {} as Connection,
    () => ({ ok: true, value: { tags: ["guests"], attachment: {} } }),
    (outcome) => {
      if (outcome.ok) ends.push(outcome.value);
    },
  );
  endTurns();
  expect(object.program!.platform.sockets("guests")).toEqual(ends);
  object.troubles.isDiskFull = true;
  object.peerClosed(ends[0]!);
  await Promise.resolve();
  endTurns();
  expect(object.program!.platform.sockets("guests")).toEqual([]);
  expect(ends).toMatchObject([{ readyState: 3 }]);
});
