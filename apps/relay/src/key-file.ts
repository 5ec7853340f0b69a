import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { hexToBytes } from "@netmesh/sdk";

/** A key is 32 bytes, written as 64 hex digits. */
const KEY_BYTES = 32;
const MAX_FILE_BYTES = 1_024;

/** What is wrong with a key, without the key. */
export class KeyError extends Error {
  override readonly name = "KeyError";
}

/** A key from text: 64 hex digits, white space around them ignored. Throws {@link KeyError} that names `source`. */
export function parseKey(text: string, source: string): Uint8Array {
  const digits = text.trim();
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) throw new KeyError(`${source} does not hold 64 hex digits`);
  return hexToBytes(digits);
}

/** The key in a file; a missing file is created with a random key, readable by its owner only. */
export function loadOrCreateKey(path: string): { readonly key: Uint8Array; readonly created: boolean } {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(path, "wx", 0o600);
    try {
      const key = randomBytes(KEY_BYTES);
      writeSync(file, `${key.toString("hex")}\n`);
      return { key, created: true };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      throw new KeyError(`cannot create ${path}: ${(error as Error).message}`);
    }
  }
  return { key: readKey(path), created: false };
}

/** The key in a file. Throws {@link KeyError} when there is none, or others can read it. */
export function readKey(path: string): Uint8Array {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new KeyError(`cannot read ${path}: ${(error as Error).message}`);
  }
  try {
    const { mode } = fstatSync(file);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      throw new KeyError(`${path} can be read by others; chmod 600 it`);
    }
    const buffer = Buffer.alloc(MAX_FILE_BYTES);
    return parseKey(buffer.toString("latin1", 0, readSync(file, buffer)), path);
  } finally {
    closeSync(file);
  }
}
