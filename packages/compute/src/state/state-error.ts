/**
 * What the state layer refuses from a caller; nothing has changed then.
 *
 * | Code | Meaning |
 * |---|---|
 * | `no-successor` | the chain ends at sequence 2^64 − 1; `value` is it |
 * | `too-large` | state or bindings of a snapshot do not fit into 32 bits of length; `value` is the greater length |
 * | `foreign-chain` | a snapshot whose chain belongs to another entity, which nobody could decode; `value` is its origin |
 * | `token-too-long` | a subscription token of more than 65 535 bytes; `value` is its length |
 * | `ledger-full` | a ledger with its limit of subscriptions; `value` is the limit |
 */
export type StateErrorCode =
  | "no-successor"
  | "too-large"
  | "foreign-chain"
  | "token-too-long"
  | "ledger-full";

/** An error of the state layer; branch on `code`. */
export class StateError extends Error {
  override readonly name: string = "StateError";
  /** Stable, to branch on. */
  readonly code: StateErrorCode;
  /** The offending value. */
  readonly value: number | bigint;

  constructor(code: StateErrorCode, message: string, value: number | bigint) {
    super(message);
    this.code = code;
    this.value = value;
  }
}
