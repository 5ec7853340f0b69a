/**
 * Routing table and stream accounting of the Net 0.27 routing plane.
 * @packageDocumentation
 */
export {};
