// Where things lie in the kernel's linear memory. The JavaScript side reads these numbers from the module's exports.

/** 256 bytes that are always 0. */
export const ZEROS: u32 = 0x100;
/** 16 bytes of ones, then 16 of zeros. */
export const MASK: u32 = 0x200;

// What is secret while a packet is processed.

/** Initial state of four ChaCha20 blocks: 16 vectors, one for each word, one lane for each block. */
export const LANES: u32 = 0x300;
/** Key stream of four blocks, 256 bytes. */
export const KEYSTREAM: u32 = 0x400;
/** Poly1305: accumulator h0..h4, then r0..r3, nine u64; then the 16-byte pad s. */
export const POLY: u32 = 0x500;
/** One block for what has to be padded; the tag in the end. */
export const BLOCK: u32 = 0x560;
/** A packet's associated data, padded to 64 bytes; behind it cipher text of a short packet and the lengths. */
export const AAD: u32 = 0x580;
export const STATE_END: u32 = 0x6a0;

/** Packets of a batch: `BATCH_ENTRY` bytes each. */
export const BATCH: u32 = 0x800;
export const BATCH_LIMIT: u32 = 64;
export const BATCH_ENTRY: u32 = 32;

/** A message that does not lie in linear memory is copied here: nonce, associated data, then text and tag. */
export const NONCE: u32 = 0x1000;
export const TEXT_AAD: u32 = 0x1010;
export const TEXT_AAD_LIMIT: u32 = 4_064;
export const TEXT: u32 = 0x2000;
export const TEXT_LIMIT: u32 = 65_536;
export const TEXT_END: u32 = 0x12100;

/** Keys, 32 bytes each. */
export const KEYS: u32 = 0x12100;
export const KEY_LIMIT: u32 = 65_536;
/** Everything from here on is handed out as packet memory. */
export const HEAP: u32 = 0x220000;
