/**
 * Every byte layout of the Net 0.27 wire protocol, as flyweight readers and writers.
 * @packageDocumentation
 */
export {};
