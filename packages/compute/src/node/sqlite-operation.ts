import type { SnapshotStoreErrorCode } from "../durability/snapshot-store.ts";

/** What the store asks of its thread. Entity ids have 32 bytes; versions 16, which compare as bytes; origins 8. */
export type SqliteOperation =
  | {
      readonly kind: "put";
      readonly entity: Uint8Array;
      readonly version: Uint8Array;
      readonly origin: Uint8Array;
      readonly factory: string;
      readonly record: Uint8Array;
    }
  | { readonly kind: "get" | "delete" | "forget"; readonly entity: Uint8Array }
  | { readonly kind: "list"; readonly origin: Uint8Array | undefined }
  | { readonly kind: "put-marker"; readonly name: string; readonly value: Uint8Array }
  | { readonly kind: "get-marker" | "delete-marker"; readonly name: string }
  | { readonly kind: "list-markers"; readonly prefix: string };

/** A record that matches its checksum, and how many newer ones do not. */
export interface ReadRecord {
  readonly record: Uint8Array;
  readonly damaged: number;
}

/** An entity's newest snapshot, without its record. */
export interface SummaryRow {
  readonly entity: Uint8Array;
  readonly version: Uint8Array;
  readonly origin: Uint8Array;
  readonly factory: string;
}

/** What an operation gives. */
export type SqliteResult = boolean | Uint8Array | ReadRecord | SummaryRow[] | string[] | undefined;

/** How an operation ended. */
export type SqliteOutcome =
  | { readonly result: SqliteResult }
  | { readonly code: SnapshotStoreErrorCode; readonly message: string };
