/**
 * Datagram transport over UDP for netmesh.
 * @packageDocumentation
 */
export {};
