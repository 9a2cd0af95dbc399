/** What the platform of an object promises, when one instance follows another within a moment. */
import { expect, onTestFinished, test } from "vitest";
import type { ObjectPlatform } from "../../durable-objects/platform/object-platform.ts";
import { Chance } from "./chance.ts";
import { EdgeObject, type Instance } from "./edge-object.ts";
import { Machine } from "./machine.ts";
import { FAIR_WEATHER, Network } from "./network.ts";
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

  closed(): void {}

  async alarm(): Promise<void> {}
}

test("an instance finds nothing of what the one before it lost, and keeps what it writes itself", () => {
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
