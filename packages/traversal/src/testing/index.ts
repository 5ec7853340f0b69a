/**
 * What tests of port mapping need beside the package itself.
 * @packageDocumentation
 */

export { MockPortMapper, type Queued } from "./mock-mapper.ts";
