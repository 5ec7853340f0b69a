/**
 * Packet slots and builders: one counter per key, whoever seals.
 * @packageDocumentation
 */
export {};
