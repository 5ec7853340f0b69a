import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "libsql";
import { afterEach, describe, expect, it } from "vitest";
import { SqliteSnapshotStore } from "../../src/node/index.ts";
import { bytes, identity, text } from "../support/daemons.ts";
import { behavesAsSnapshotStore } from "../support/snapshot-store-conformance.ts";
import { snapshotOf, storeCodeOf } from "../support/snapshot-stores.ts";

const A = identity(1);
const folders: string[] = [];

async function freshFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "netmesh-snapshots-"));
  folders.push(folder);
  return join(folder, "daemons.db");
}

const open = (path: string): Promise<SqliteSnapshotStore> => SqliteSnapshotStore.open({ path });

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

behavesAsSnapshotStore("SQLite", async () => await open(await freshFile()));

/** Changes one byte in the middle of the newest snapshots in a file. */
function damage(path: string, newest: number): void {
  const database = new Database(path);
  const rows = database.prepare("SELECT rowid, record FROM snapshot ORDER BY version DESC").all() as {
    rowid: number;
    record: ArrayBuffer;
  }[];
  for (const { rowid, record } of rows.slice(0, newest)) {
    const damaged = Buffer.from(record);
    damaged.writeUInt8(damaged.readUInt8(damaged.length >> 1) ^ 1, damaged.length >> 1);
    database.prepare("UPDATE snapshot SET record = ? WHERE rowid = ?").run(damaged, rowid);
  }
  database.close();
}

describe("a store in a file", () => {
  it("is as it was when it is opened again", async () => {
    const path = await freshFile();
    const first = await open(path);
    await first.put(snapshotOf(A, 4, bytes("four")), "counter");
    await first.putMarker("term", bytes("7"));
    await first.close();
    await using again = await open(path);
    expect(text((await again.get(A.entityId))?.snapshot.state ?? bytes(""))).toBe("four");
    expect(text((await again.getMarker("term")) ?? bytes(""))).toBe("7");
    expect(await again.put(snapshotOf(A, 3, bytes("three")), "counter")).toBe(false);
  });

  it("a damaged newest snapshot is passed over for the one before, which is said", async () => {
    const path = await freshFile();
    const first = await open(path);
    for (const n of [1, 2, 3]) await first.put(snapshotOf(A, n, bytes(`state ${n}`)), "k");
    await first.close();
    damage(path, 1);
    await using store = await open(path);
    const found = await store.get(A.entityId);
    expect(found?.damaged).toBe(1);
    expect(text(found?.snapshot.state ?? bytes(""))).toBe("state 2");
  });

  it("what a daemon becomes from the snapshot before a damaged one can be stored", async () => {
    const path = await freshFile();
    const first = await open(path);
    for (const n of [5, 90]) await first.put(snapshotOf(A, n, bytes(`state ${n}`)), "k");
    await first.close();
    damage(path, 1);
    await using store = await open(path);
    expect((await store.get(A.entityId))?.snapshot.throughSeq).toBe(5n);
    expect(await store.put(snapshotOf(A, 6, bytes("state 6")), "k")).toBe(true);
    expect(await store.get(A.entityId)).toMatchObject({ damaged: 0, snapshot: { throughSeq: 6n } });
  });

  it("with nothing but damaged snapshots it says so instead of giving none", async () => {
    const path = await freshFile();
    const first = await open(path);
    for (const n of [1, 2]) await first.put(snapshotOf(A, n, bytes(`state ${n}`)), "k");
    await first.close();
    damage(path, 2);
    await using store = await open(path);
    expect(await storeCodeOf(() => store.get(A.entityId))).toBe("damaged");
  });

  it("a damaged marker is not given out", async () => {
    const path = await freshFile();
    const first = await open(path);
    await first.putMarker("phase", bytes("cut over"));
    await first.close();
    const database = new Database(path);
    database.prepare("UPDATE marker SET value = ?").run([Buffer.from("something else")]);
    database.close();
    await using store = await open(path);
    expect(await storeCodeOf(() => store.getMarker("phase"))).toBe("damaged");
  });

  it("a file that is something else is refused and left alone", async () => {
    const path = await freshFile();
    const prose = "This is no database, but a letter to somebody.".repeat(40);
    await writeFile(path, prose);
    expect(await storeCodeOf(() => open(path))).toBe("unavailable");
    expect(await readFile(path, "utf8")).toBe(prose);

    const other = await freshFile();
    const database = new Database(other);
    database.exec("CREATE TABLE people (name TEXT)");
    database.close();
    expect(await storeCodeOf(() => open(other))).toBe("unavailable");
  });

  it("a path that cannot be is refused", async () => {
    const path = await freshFile();
    await writeFile(path, "");
    expect(await storeCodeOf(() => open(join(path, "below", "a-file")))).toBe("unavailable");
    expect(await storeCodeOf(() => open(""))).toBe("invalid-argument");
  });

  it("operations under way when it is closed still happen", async () => {
    const path = await freshFile();
    const store = await open(path);
    const puts = [1, 2, 3].map((n) => store.put(snapshotOf(A, n, bytes(`${n}`)), "k"));
    const marker = store.putMarker("m", bytes("v"));
    await store.close();
    expect(await Promise.all(puts)).toEqual([true, true, true]);
    await marker;
    await using again = await open(path);
    expect((await again.get(A.entityId))?.snapshot.throughSeq).toBe(3n);
  });

  it("two stores on one file see one truth", async () => {
    const path = await freshFile();
    await using one = await open(path);
    await using two = await open(path);
    const order = [3, 1, 5, 2, 4];
    await Promise.all(
      order.flatMap((n) => [one, two].map((s) => s.put(snapshotOf(A, n, bytes(`${n}`)), "k"))),
    );
    expect((await one.get(A.entityId))?.snapshot.throughSeq).toBe(5n);
    expect((await two.get(A.entityId))?.snapshot.throughSeq).toBe(5n);
  });
});
