import { AAD_SIZE, HEADER_SIZE, TAG_SIZE, writeAad, writeU32 } from "@netmesh/wire";
import { bytesToHex } from "../hex.ts";
import { AEAD_KEY_SIZE, AEAD_NONCE_SIZE, type AeadKey, type AeadProvider } from "./provider.ts";

/**
 * Payload length and the tag that OpenSSL computes for the packet of {@link samplePacket}: every path of an implementation
 * that works on 64, 192 or 256 bytes at a time.
 */
const KNOWN_TAGS: readonly (readonly [number, string])[] = [
  [0, "5fecaa89d8c1244fb5ea4209d3c445a4"],
  [1, "8ca89983bab3376d9c3c98c87d92fd03"],
  [63, "ec983d6a6132c5cedd9a83c42c65e670"],
  [64, "e3e09b25321ff8da6bf0531e823bd662"],
  [65, "9200ef2954e45dbd7dd17a47875a929c"],
  [192, "ca89f1dc75ad27587c9b4e800c9ee284"],
  [193, "90d00db6323a78616c985ff809760506"],
  [256, "b87fc3b092f36df248e0ddbfac8fc6ee"],
  [447, "7ce5cf2a5fe6c494fa69169d50d70901"],
  [448, "d93bfa3b233b913aea3c90b7e2dfcbd3"],
  [449, "e64b1a5588bf3257548c2cf14af06643"],
  [704, "8e9ecdce157a459a918551ebad4dc829"],
  [1200, "df84812a46417a5e877d3187ea06cff1"],
];

const PREFIX = 0x89ab_cdef;
const COUNTER_LO = 0xfedc_ba98;
const COUNTER_HI = 0x0102_0304;

/**
 * Whether a provider computes what RFC 8439 says, refuses what was tampered with without showing its text, and seals and
 * opens a batch. About ten milliseconds; run before a provider is used for the first time, as a miscompiled or broken one must not be.
 */
export function passesSelfTest(provider: AeadProvider): boolean {
  const key = provider.create(sample(AEAD_KEY_SIZE, 1));
  try {
    return KNOWN_TAGS.every(([length, tag]) => sealsAndOpens(key, length, tag)) && batches(provider, key);
  } catch {
    return false;
  } finally {
    key.destroy();
  }
}

function sealsAndOpens(key: AeadKey, length: number, tag: string): boolean {
  const plain = samplePacket(length);
  const sealed = plain.slice();
  key.sealPacket(sealed, 0, length, PREFIX, COUNTER_LO, COUNTER_HI);
  const end = HEADER_SIZE + length;
  if (bytesToHex(sealed.subarray(end)) !== tag) return false;

  const nonce = new Uint8Array(AEAD_NONCE_SIZE);
  writeU32(nonce, 0, PREFIX);
  writeU32(nonce, 4, COUNTER_LO);
  writeU32(nonce, 8, COUNTER_HI);
  const aad = new Uint8Array(AAD_SIZE);
  writeAad(aad, 0, plain, 0);
  const message = plain.slice(HEADER_SIZE);
  key.seal(nonce, aad, message, 0, length);
  if (bytesToHex(message) !== bytesToHex(sealed.subarray(HEADER_SIZE))) return false;
  if (!key.open(nonce, aad, message, 0, length + TAG_SIZE)) return false;

  const text = bytesToHex(plain.subarray(HEADER_SIZE, end));
  const tagBytes = Array.from({ length: TAG_SIZE }, (_, i) => end + i);
  for (const at of [0, HEADER_SIZE - 1, HEADER_SIZE, end - 1, ...tagBytes]) {
    const tampered = sealed.slice();
    tampered[at] = (tampered[at] as number) ^ 1;
    if (key.openPacket(tampered, 0, length, PREFIX)) return false;
    if (length > 0 && bytesToHex(tampered.subarray(HEADER_SIZE, end)) === text) return false;
  }
  const opened = sealed.slice();
  return (
    key.openPacket(opened, 0, length, PREFIX) &&
    bytesToHex(opened.subarray(HEADER_SIZE, end)) === text &&
    bytesToHex(message.subarray(0, length)) === text
  );
}

/** Three packets in one batch, of which two are short: the same bytes as one by one. */
function batches(provider: AeadProvider, key: AeadKey): boolean {
  const lengths = [40, 64, 300];
  const room = 512;
  const memory = provider.memory?.allocate(room * lengths.length) ?? new Uint8Array(room * lengths.length);
  try {
    const batch = provider.createBatch();
    lengths.forEach((length, i) => {
      memory.set(samplePacket(length), i * room);
      batch.add(key, memory, i * room, length, PREFIX, COUNTER_LO, COUNTER_HI + i);
    });
    batch.seal();
    const sameAsSingle = lengths.every((length, i) => {
      const packet = samplePacket(length);
      key.sealPacket(packet, 0, length, PREFIX, COUNTER_LO, COUNTER_HI + i);
      return bytesToHex(packet) === bytesToHex(memory.subarray(i * room, i * room + packet.length));
    });
    lengths.forEach((length, i) => {
      batch.add(key, memory, i * room, length, PREFIX, 0, 0);
    });
    memory[room + HEADER_SIZE] = (memory[room + HEADER_SIZE] as number) ^ 1;
    batch.open();
    return sameAsSingle && batch.opened(0) && !batch.opened(1) && batch.opened(2);
  } finally {
    provider.memory?.release(memory);
  }
}

/** A header, `length` bytes of payload and room for the tag, no two neighbouring bytes alike. */
function samplePacket(length: number): Uint8Array {
  return sample(HEADER_SIZE + length + TAG_SIZE, length);
}

function sample(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 167 + seed * 59 + 13) >> (i & 1);
  return bytes;
}
