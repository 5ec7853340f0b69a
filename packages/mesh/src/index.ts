/**
 * The netmesh engine: sessions, streams and relaying as a pure core under a thin shell.
 * @packageDocumentation
 */
export {};
