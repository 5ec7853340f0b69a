import { type AeadKey, type AeadProvider, nobleAead } from "@netmesh/crypto";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  acceptSealing,
  PacketBuilder,
  type PostTarget,
  type SealingGrant,
  SealingShare,
  SharedCounter,
} from "../src/index.ts";
import { counterOf, pattern } from "./support/vectors.ts";

const key = pattern(32, 1);
const SESSION = 0xabcdefn;

afterEach(() => {
  vi.restoreAllMocks();
});

/** A thread that keeps what arrives. */
function mailbox(): PostTarget & { readonly posted: unknown[]; readonly arrived: SealingGrant[] } {
  const [posted, arrived]: [unknown[], SealingGrant[]] = [[], []];
  return {
    posted,
    arrived,
    postMessage(message: unknown, transfer: ArrayBuffer[]): void {
      posted.push(message);
      const { counter, ...rest } = message as SealingGrant;
      // Some runtimes do not clone shared memory outside of threads.
      arrived.push({ counter, ...structuredClone(rest, { transfer }) });
    },
  };
}

function refusal(code: string): unknown {
  return expect.objectContaining({ name: "PoolError", code });
}

function heartbeatCounter(builder: PacketBuilder): bigint {
  return counterOf(builder.buildHeartbeat());
}

test("workers that were granted the key draw from one counter", () => {
  const box = mailbox();
  const share = new SealingShare(key, SESSION, { workers: 2, block: 1 });
  share.grantTo(box);
  share.grantTo(box);
  const [a, b] = box.arrived.map((grant) => new PacketBuilder(acceptSealing(grant)));
  const drawn = [a, b, b, a].map((builder) => heartbeatCounter(builder as PacketBuilder));
  expect(drawn).toEqual([0n, 1n, 2n, 3n]);
});

describe("the key", () => {
  test("moves to the worker, where it is wiped as soon as it is in use", () => {
    const box = mailbox();
    new SealingShare(key, SESSION, { workers: 1 }).grantTo(box);
    expect((box.posted[0] as SealingGrant).key).toHaveLength(0);
    const [grant] = box.arrived as [SealingGrant];
    expect(grant.key).toEqual(key);
    acceptSealing(grant);
    expect(grant.key).toEqual(new Uint8Array(32));
  });

  test("is wiped here if the target copies it instead", () => {
    const posted: SealingGrant[] = [];
    const target = { postMessage: (message: unknown) => posted.push(message as SealingGrant) };
    new SealingShare(key, SESSION, { workers: 1 }).grantTo(target);
    expect(posted[0]?.key).toEqual(new Uint8Array(32));
  });

  test("is the share's own copy: the caller's can be wiped at once", () => {
    const box = mailbox();
    const bytes = key.slice();
    const share = new SealingShare(bytes, SESSION, { workers: 1 });
    bytes.fill(0);
    share.grantTo(box);
    expect(box.arrived[0]?.key).toEqual(key);
  });

  test("goes to as many workers as there were to be, and to none that could not be reached", () => {
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 2 });
    const broken = {
      postMessage() {
        throw new Error("no such thread");
      },
    };
    expect(() => share.grantTo(broken)).toThrow("no such thread");
    share.grantTo(box);
    share.grantTo(box);
    expect(() => share.grantTo(box)).toThrow(refusal("all-granted"));
    expect(box.arrived).toHaveLength(2);
  });

  test("travels inside of a message of one's own", () => {
    const box = mailbox();
    new SealingShare(key, SESSION, { workers: 1 }).grantTo(box, (grant) => ({ ...grant, kind: "seal" }));
    expect(box.arrived[0]).toMatchObject({ kind: "seal", sessionId: SESSION, generation: 0 });
  });

  test("is wiped here when the last worker has got it, or when it is retired", () => {
    const wiped: string[] = [];
    const { fill } = Uint8Array.prototype;
    vi.spyOn(Uint8Array.prototype, "fill").mockImplementation(function (this: Uint8Array, ...args) {
      wiped.push(String(this));
      return fill.apply(this, args);
    });
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 2 });
    share.grantTo(box);
    expect(wiped).not.toContain(String(key));
    share.grantTo(box);
    expect(wiped).toContain(String(key));
    wiped.length = 0;
    const retired = new SealingShare(key, SESSION, { workers: 2 });
    retired.retire();
    expect(wiped).toContain(String(key));
  });

  test("is in nothing that is printed", () => {
    const share = new SealingShare(key, SESSION, { workers: 2 });
    expect(JSON.stringify(share)).toBe(
      '{"sessionId":"0000000000abcdef","workers":2,"block":32,"holders":0,"key":"[redacted]"}',
    );
  });
});

describe("retiring a share", () => {
  test("ends every worker at its next packet, and they hold the key no longer", () => {
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 2 });
    share.grantTo(box);
    share.grantTo(box);
    const keys = box.arrived.map((grant) => acceptSealing(grant));
    const builders = keys.map((sealing) => new PacketBuilder(sealing));
    for (const builder of builders) builder.buildHeartbeat();
    expect(share.holders).toBe(2);

    share.retire();
    share.retire();
    expect(share.holders).toBe(2);
    builders.forEach((builder, i) => {
      expect(() => builder.buildHeartbeat()).toThrow(refusal("stale-generation"));
      expect(share.holders).toBe(1 - i);
    });
    expect(keys.map(({ isRetired }) => isRetired)).toEqual([true, true]);
    expect(() => builders[0]?.buildHeartbeat()).toThrow(refusal("stale-generation"));
    expect(share.holders).toBe(0);
  });

  test("counts a worker until its key is wiped, and no longer", () => {
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 1 });
    const holdersAtWiping: number[] = [];
    const provider: AeadProvider = {
      ...nobleAead,
      create(bytes: Uint8Array): AeadKey {
        const made = nobleAead.create(bytes);
        const { destroy } = made;
        made.destroy = () => {
          holdersAtWiping.push(share.holders);
          destroy.call(made);
        };
        return made;
      },
    };
    share.grantTo(box);
    const sealing = acceptSealing(box.arrived[0] as SealingGrant, provider);
    share.retire();
    expect(() => sealing.advance()).toThrow(refusal("stale-generation"));
    expect(holdersAtWiping).toEqual([1]);
    expect(share.holders).toBe(0);
  });

  test("needs no packet of a worker that lets go by itself", () => {
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 1 });
    share.grantTo(box);
    const sealing = acceptSealing(box.arrived[0] as SealingGrant);
    expect(share.holders).toBe(1);
    sealing.retire();
    sealing.retire();
    expect(share.holders).toBe(0);
  });

  test("reaches a key that is still on its way", () => {
    const box = mailbox();
    const share = new SealingShare(key, SESSION, { workers: 2 });
    share.grantTo(box);
    share.retire();
    const [grant] = box.arrived as [SealingGrant];
    expect(() => acceptSealing(grant)).toThrow(refusal("stale-generation"));
    expect(grant.key).toEqual(new Uint8Array(32));
    expect(share.holders).toBe(0);
    expect(() => share.grantTo(box)).toThrow(refusal("stale-generation"));
  });
});

test("a worker refuses a key of another generation than its counter is in", () => {
  const counter = SharedCounter.allocate();
  new SharedCounter(counter).retire();
  const grant = (generation: number): SealingGrant => ({
    key: key.slice(),
    sessionId: SESSION,
    counter,
    generation,
    block: 1,
  });
  expect(() => acceptSealing(grant(0))).toThrow(refusal("stale-generation"));
  expect(() => acceptSealing(grant(2))).toThrow(refusal("stale-generation"));
  expect(heartbeatCounter(new PacketBuilder(acceptSealing(grant(1))))).toBe(0n);
});

test("a worker seals with the provider that it is given", () => {
  let created = 0;
  const provider: AeadProvider = {
    ...nobleAead,
    create(bytes: Uint8Array): AeadKey {
      created++;
      return nobleAead.create(bytes);
    },
  };
  const counter = SharedCounter.allocate();
  acceptSealing({ key: key.slice(), sessionId: SESSION, counter, generation: 0, block: 1 }, provider);
  expect(created).toBe(1);
});

test("workers times block stays within what the receiver's window can take", () => {
  const blockOf = (workers: number) => new SealingShare(key, SESSION, { workers }).block;
  expect([1, 8, 9, 100, 256].map(blockOf)).toEqual([32, 16, 14, 1, 1]);
  for (const options of [
    { workers: 0 },
    { workers: 1.5 },
    { workers: Number.NaN },
    { workers: 257 },
    { workers: 8, block: 33 },
    { workers: 8, block: 0 },
    { workers: 8, block: Number.NaN },
  ]) {
    expect(() => new SealingShare(key, SESSION, options)).toThrow(refusal("invalid-size"));
  }
});

test("a key has 32 bytes", () => {
  expect(() => new SealingShare(new Uint8Array(16), SESSION, { workers: 1 })).toThrow(
    refusal("invalid-size"),
  );
});
