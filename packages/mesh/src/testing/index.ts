/**
 * Virtual time and in-memory networks for tests.
 * @packageDocumentation
 */
export {};
