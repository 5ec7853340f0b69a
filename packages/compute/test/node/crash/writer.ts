/** A process that stores snapshots and markers for ever, and says which ones it was told are stored: `writer.js FILE SEED`. */
import { writeSync } from "node:fs";
import { SqliteSnapshotStore } from "../../../src/node/index.ts";
import { bytes, identity, u64 } from "../../support/daemons.ts";
import { snapshotOf } from "../../support/snapshot-stores.ts";
import { ENTITIES, stateAt } from "./expected-state.ts";

const [, , path = "", seed = "0"] = process.argv;
const store = await SqliteSnapshotStore.open({ path });

async function writeFor(entity: number): Promise<void> {
  const owner = identity(entity);
  let n = Number((await store.get(owner.entityId))?.snapshot.throughSeq ?? 0n);
  for (;;) {
    n++;
    await store.put(snapshotOf(owner, n, stateAt(entity, n)), `seed ${seed}`);
    writeSync(1, `s ${entity} ${n}\n`);
    if (n % 3 !== 0) continue;
    await store.putMarker(`entity ${entity}`, u64(BigInt(n)));
    writeSync(1, `m ${entity} ${n}\n`);
    if (n % 9 !== 0) continue;
    await store.putMarker(`gone ${entity}`, bytes("x"));
    await store.deleteMarker(`gone ${entity}`);
    writeSync(1, `d ${entity} ${n}\n`);
  }
}

await Promise.all(Array.from({ length: ENTITIES }, (_, entity) => writeFor(entity)));
