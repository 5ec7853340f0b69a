/**
 * Virtual time and in-memory networks for tests.
 * @packageDocumentation
 */
export {
  type Expectation,
  type TestFunctions,
  type TransportPair,
  transportConformance,
} from "./conformance.ts";
export {
  type LinkConditions,
  MemoryNetwork,
  MemoryTransport,
  type NetworkStats,
  type NetworkTap,
} from "./memory-network.ts";
export { NatBox, type NatKind, type NatOptions, NatTransport } from "./nat-box.ts";
export { SeededRandom } from "./seeded-random.ts";
export {
  createTestNetwork,
  TestNetwork,
  type TestNetworkOptions,
  TestNode,
  type TestNodeOptions,
} from "./test-network.ts";
export { VirtualClock } from "./virtual-clock.ts";
