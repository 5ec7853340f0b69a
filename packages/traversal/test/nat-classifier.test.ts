import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { type NatClass, NatClassifier, natClassOfTag, pairAction, type RandomSource } from "../src/index.ts";
import { randomBelow } from "../src/random-source.ts";
import { seededRandom } from "./scripted-random.ts";

const at = (text: string) => SocketAddress.parse(text);
const BOUND = at("192.168.1.5:7000");

function classOf(seen: readonly string[], bound = BOUND, interfaces?: readonly string[]) {
  const classifier = new NatClassifier();
  for (const [i, text] of seen.entries()) classifier.observe(BigInt(i), at(text));
  return classifier.classify(bound, interfaces);
}

describe("a NAT classifier", () => {
  it("knows nothing from fewer than two peers, whatever they see", () => {
    expect(classOf([])).toBe("unknown");
    expect(classOf(["192.168.1.5:7000"])).toBe("unknown");
  });

  it("tells the classes from the ports that peers see", () => {
    expect(classOf(["192.168.1.5:7000", "192.168.1.5:7000"])).toBe("open");
    expect(classOf(["198.51.100.1:9000", "198.51.100.1:9000"])).toBe("cone");
    expect(classOf(["198.51.100.1:9000", "198.51.100.1:9001"])).toBe("symmetric");
  });

  it("takes an equal port for open only under an address of the host, where those are known", () => {
    const wildcard = at("0.0.0.0:7000");
    const seen = ["198.51.100.1:7000", "198.51.100.1:7000"];
    expect(classOf(seen, wildcard)).toBe("open");
    expect(classOf(seen, wildcard, ["192.168.1.5"])).toBe("cone");
    expect(classOf(seen, wildcard, ["198.51.100.1"])).toBe("open");
  });

  it("keeps the last answer of each peer", () => {
    const classifier = new NatClassifier();
    classifier.observe(1n, at("198.51.100.1:1"));
    classifier.observe(2n, at("198.51.100.1:2"));
    classifier.observe(2n, at("198.51.100.1:1"));
    expect([classifier.count, classifier.classify(BOUND)]).toEqual([2, "cone"]);
    classifier.clear();
    expect([classifier.count, classifier.classify(BOUND)]).toEqual([0, "unknown"]);
  });

  it("reads no class from other tags", () => {
    expect(["nat:cone", "nat:", "nat:weird", "gpu", ""].map(natClassOfTag)).toEqual([
      "cone",
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("whatever is seen, a NAT classifier", () => {
  const PORTS = 4;

  /** Addresses as a NAT, several of them, or a liar may show. */
  function storm(random: RandomSource, length: number): string[] {
    const any = (limit: number) => randomBelow(random, limit);
    return Array.from({ length }, () =>
      any(4) === 0 ? "[2001:db8::1]:7000" : `198.51.100.${any(3)}:${6_998 + any(PORTS)}`,
    );
  }

  it("says one of four things, counts distinct peers, and says the same again", () => {
    const random = seededRandom(1);
    for (let i = 0; i < 1_000; i++) {
      const classifier = new NatClassifier();
      const peers = new Set<bigint>();
      for (const text of storm(random, i % 12)) {
        const peer = BigInt(randomBelow(random, 8));
        peers.add(peer);
        classifier.observe(peer, at(text));
      }
      const found = classifier.classify(BOUND);
      expect(["open", "cone", "symmetric", "unknown"]).toContain(found);
      expect(classifier.count).toBe(peers.size);
      expect(found === "unknown").toBe(peers.size < 2);
      expect(classifier.classify(BOUND)).toBe(found);
    }
  });

  it("does not mind the order", () => {
    const random = seededRandom(2);
    for (let i = 0; i < 200; i++) {
      const seen = storm(random, 2 + (i % 8));
      expect(classOf([...seen].reverse())).toBe(classOf(seen));
    }
  });

  it("takes one different port among nine for a symmetric NAT", () => {
    const same = Array.from({ length: 8 }, () => "198.51.100.1:9000");
    expect(classOf([...same, "198.51.100.1:9001"])).toBe("symmetric");
    expect(classOf(["198.51.100.1:9001", ...same])).toBe("symmetric");
  });

  it("takes an equal port for open on a wildcard socket of either family, and different ports for symmetric", () => {
    for (const [bound, seen, other] of [
      ["0.0.0.0:7000", "198.51.100.1:7000", "198.51.100.1:7001"],
      ["[::]:7000", "[2001:db8::1]:7000", "[2001:db8::1]:7001"],
    ] as const) {
      expect(classOf([seen, seen], at(bound))).toBe("open");
      expect(classOf([other, seen.replace("7000", "7002")], at(bound))).toBe("symmetric");
    }
  });
});

describe("the pair matrix", () => {
  const classes = ["open", "cone", "symmetric", "unknown"] as const;

  it("says in all sixteen cells what is worth trying", () => {
    expect(classes.map((a) => classes.map((b) => pairAction(a, b)))).toEqual([
      ["direct", "direct", "punch", "direct"],
      ["direct", "punch", "punch", "punch"],
      ["punch", "punch", "skip", "skip"],
      ["direct", "punch", "skip", "direct"],
    ]);
  });

  it("answers any pair", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 4_000; i++) {
      const [a, b] = [randomBelow(random, 4), randomBelow(random, 4)].map((i) => classes[i]) as [
        NatClass,
        NatClass,
      ];
      expect(["direct", "punch", "skip"]).toContain(pairAction(a, b));
    }
  });
});
