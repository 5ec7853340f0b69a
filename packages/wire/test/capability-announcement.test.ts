import { describe, expect, test } from "vitest";
import {
  announcementSignedBytes,
  assertUserTag,
  type CapabilityAnnouncement,
  capabilitiesJson,
  compareUtf8,
  decodeCapabilityAnnouncement,
  encodeCapabilityAnnouncement,
  parseTag,
  tagKey,
  WireError,
} from "../src/index.ts";
import { hex } from "./hex.ts";
import vectors from "./vectors/capability.json" with { type: "json" };
import { xorshift } from "./xorshift.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const decode = (json: string) => decodeCapabilityAnnouncement(utf8(json));

describe("a capability tag", () => {
  test("is taken apart as the reference does", () => {
    for (const { input, parse } of vectors.tag_parse) {
      const tag = parseTag(input);
      if ("error" in parse) {
        expect(tag, input).toBeUndefined();
        continue;
      }
      expect(tag?.text).toBe(parse.to_string);
      if (tag?.kind === "axis") {
        expect(parse.kind).toBe(tag.value === undefined ? "axis_present" : "axis_value");
        expect([tag.axis, tag.key]).toEqual([parse.axis, parse.key]);
        expect([tag.value ?? null, tag.separator ?? null]).toEqual([parse.value, parse.separator]);
      } else if (tag?.kind === "reserved") {
        expect([tag.kind, tag.prefix, tag.body]).toEqual([
          parse.kind,
          parse.reserved_prefix,
          parse.reserved_body,
        ]);
      } else expect(tag?.kind).toBe(parse.kind);
    }
  });

  test("of an application is not empty and not the runtime's", () => {
    for (const { input, parse_user } of vectors.tag_parse) {
      if (typeof parse_user === "string") expect(() => assertUserTag(input)).not.toThrow();
      else expect(() => assertUserTag(input), input).toThrow(WireError);
    }
    expect(() => assertUserTag("\ud800")).toThrow(WireError);
    expect(() => assertUserTag(7 as never)).toThrow(WireError);
  });

  test("has the same key with either separator", () => {
    expect(tagKey("software.os:linux=6")).toBe("software.os=linux=6");
    expect(tagKey("software.os=linux:6")).toBe("software.os=linux:6");
    for (const same of ["gpu:yes", "scope:region:eu", "hardware.gpu"]) expect(tagKey(same)).toBe(same);
  });
});

describe("a capability announcement", () => {
  test("has the reference's bytes, signed, to be signed and passed on", () => {
    for (const { name, bytes, signed_payload, forwarded_hop_count_2 } of vectors.announcement) {
      const announcement = decode(bytes) as CapabilityAnnouncement;
      expect(text(encodeCapabilityAnnouncement(announcement)), name).toBe(bytes);
      expect(text(announcementSignedBytes(announcement)), name).toBe(signed_payload);
      const passedOn = { ...announcement, hopCount: 2 };
      expect(text(encodeCapabilityAnnouncement(passedOn)), name).toBe(forwarded_hop_count_2);
      expect(decode(forwarded_hop_count_2)).toEqual(passedOn);
    }
  });

  test("keeps 64-bit numbers exactly", () => {
    const announcement = decode(vectors.announcement[2]?.bytes as string);
    expect(announcement?.nodeId).toBe(14922918862534328373n);
    expect(announcement?.allowedNodes).toEqual([1n, 18446744073709551615n]);
    expect(announcement?.timestampNs).toBe(1795226341879895697n);
  });

  test("is accepted and refused as by the reference", () => {
    for (const { name, json, decoded } of vectors.announcement_decode) {
      expect(decode(json) !== undefined, name).toBe(decoded);
    }
  });

  test("is refused with a field of another type, out of range, missing or twice", () => {
    const good = vectors.announcement[2]?.bytes as string;
    const damages: [string, string][] = [
      ['"version":3', '"version":-3'],
      ['"version":3', '"version":3.0'],
      ['"version":3', '"version":3e0'],
      ['"version":3', '"version":"3"'],
      ['"version":3', '"version":18446744073709551616'],
      ['"version":3,', ""],
      ['"version":3', '"version":3,"version":3'],
      ['"ttl_secs":300', '"ttl_secs":4294967296'],
      ['"ttl_secs":300', '"ttl_secs":300,"hop_count":256'],
      ['"ttl_secs":300', '"ttl_secs":300,"hop_count":null'],
      ['"entity_id":"17', '"entity_id":"1'],
      ['"entity_id":"17', '"entity_id":"zz'],
      ['"signature":"1a', '"signature":"'],
      ['"tags":["hardware.memory_gb=64"]', '"tags":[""]'],
      ['"tags":["hardware.memory_gb=64"]', '"tags":[7]'],
      ['"tags":["hardware.memory_gb=64"]', '"tags":"x"'],
      ['"tags":["hardware.memory_gb=64"]', '"tags":["\\ud800"]'],
      ['"metadata":{}', '"metadata":{"a":1}'],
      ['"metadata":{}', '"metadata":[]'],
      ['"capabilities":{', '"capabilities":{"tags":[],'],
      ["[2001:db8::1]:9", "not an address"],
      ['"reflex_addr":"[2001:db8::1]:9"', '"reflex_addr":9'],
      ['"allowed_nodes":[1,', '"allowed_nodes":[-1,'],
      ['"allowed_nodes":[1,18446744073709551615]', '"allowed_nodes":{}'],
      ["[[7,", "[["],
      ["[[7,", "[[256,"],
      ["[[7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7]]", "[7]"],
      ["}", "},"],
    ];
    expect(decode(good)).toBeDefined();
    for (const [from, to] of damages) {
      expect(good).toContain(from);
      expect(decode(good.replace(from, to)), `${from} -> ${to}`).toBeUndefined();
    }
  });

  test("takes null for what may be absent, escapes of any kind, and members in any order", () => {
    const announcement = decode(
      ` { "ttl_secs" : 1 , "capabilities" : { "metadata" : { "\\u00e9\\ud83d\\ude00" : "\\/\\b" } , "tags" : [ "b" , "a" , "b" ] } ,
        "signature" : null , "reflex_addr" : null , "later" : [ true , false , null , -1.5e3 , { "a" : [ ] } ] ,
        "timestamp_ns" : 0 , "version" : 0 , "entity_id" : "${"aB".repeat(32)}" , "node_id" : 0 } `,
    );
    expect(announcement?.capabilities.tags).toEqual(["a", "b"]);
    expect([...(announcement?.capabilities.metadata ?? [])]).toEqual([["é😀", "/\b"]]);
    expect(announcement?.signature).toBeUndefined();
    expect(announcement?.entityId).toEqual(new Uint8Array(32).fill(0xab));
  });

  test("that is no JSON, too deep, or no UTF-8 is refused", () => {
    const deep = `${"[".repeat(40)}${"]".repeat(40)}`;
    const good = vectors.announcement[0]?.bytes as string;
    for (const bad of [
      "{",
      "[]",
      "null",
      "7",
      '"x"',
      "{]",
      `{"a":${deep}}`,
      "{'a':1}",
      '{"a" 1}',
      '{"a":tru}',
    ]) {
      expect(decode(bad), bad).toBeUndefined();
    }
    expect(decode(good.replace("{", `{"later":${deep},`))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":01,'))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":fals,'))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":nul,'))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":{"x"},'))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":{"x":?},'))).toBeUndefined();
    expect(decode(good.replace("{", '{"later":[1 2],'))).toBeUndefined();
    expect(decodeCapabilityAnnouncement(Uint8Array.of(0xff, 0x7b, 0x7d))).toBeUndefined();
  });

  test("never throws on damaged bytes, and what it accepts survives another round", () => {
    const random = xorshift(11);
    let accepted = 0;
    for (const { bytes } of vectors.announcement) {
      for (let round = 0; round < 300; round++) {
        const damaged = utf8(bytes);
        damaged[random() % damaged.length] = random() & 0x7f;
        const announcement = decodeCapabilityAnnouncement(damaged);
        if (announcement === undefined) continue;
        accepted++;
        expect(decodeCapabilityAnnouncement(encodeCapabilityAnnouncement(announcement))).toEqual(
          announcement,
        );
      }
    }
    expect(accepted).toBeGreaterThan(100);
  });
});

describe("a capability set", () => {
  test("has the reference's canonical JSON", () => {
    for (const { name, tags_sorted, metadata, json } of vectors.capability_set) {
      const entries = new Map(Object.entries(metadata as Record<string, string>).reverse());
      const tags = [...tags_sorted, ...tags_sorted].reverse();
      expect(capabilitiesJson({ tags, metadata: entries }), name).toBe(json);
    }
  });

  test("sorts by code points, not by the halves of surrogate pairs", () => {
    const tags = ["😀", "\uffee", "a", "\ud7ff", "ab", "\ue000"];
    expect([...tags].sort(compareUtf8)).toEqual(["a", "ab", "\ud7ff", "\ue000", "\uffee", "😀"]);
    const byBytes = tags.map((tag) => hex(utf8(tag))).sort();
    expect([...tags].sort(compareUtf8).map((tag) => hex(utf8(tag)))).toEqual(byBytes);
  });
});
