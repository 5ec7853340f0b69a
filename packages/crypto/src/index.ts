/**
 * Noise NKpsk0 handshake, packet sealing, replay window and identities for Net 0.27.
 * @packageDocumentation
 */
export {};
