import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatClassifier, natClassOfTag, pairAction } from "../src/index.ts";

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
});
