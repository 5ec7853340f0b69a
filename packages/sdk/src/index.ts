/**
 * Encrypted UDP mesh for TypeScript: identities, peers, streams, relays.
 * @packageDocumentation
 */
export {};
