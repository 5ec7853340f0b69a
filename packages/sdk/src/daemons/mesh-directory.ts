import type { NodeCapabilities, PlacementCandidate, PlacementDirectory } from "@netmesh/compute";
import type { Mesh } from "../mesh.ts";
import type { MeshDaemons } from "./mesh-daemons.ts";

/** The nodes that daemons can be placed on: some of those with a session, with what they have announced. */
export class MeshDirectory implements PlacementDirectory {
  readonly #mesh: Mesh;
  readonly #network: MeshDaemons;
  readonly #isCandidate: (nodeId: bigint) => boolean;

  constructor(mesh: Mesh, network: MeshDaemons, isCandidate: (nodeId: bigint) => boolean) {
    this.#mesh = mesh;
    this.#network = network;
    this.#isCandidate = isCandidate;
  }

  get nodeId(): bigint {
    return this.#mesh.nodeId;
  }

  localCapabilities(): NodeCapabilities {
    return this.#capabilitiesOf(this.nodeId);
  }

  *candidates(): Generator<PlacementCandidate> {
    for (const { nodeId, rttMs } of this.#network.peers()) {
      if (!this.#isCandidate(nodeId)) continue;
      const capabilities = this.#capabilitiesOf(nodeId);
      yield rttMs === undefined ? { nodeId, capabilities } : { nodeId, capabilities, rttMs };
    }
  }

  /** Of a node that has announced nothing, nothing is known. */
  #capabilitiesOf(nodeId: bigint): NodeCapabilities {
    const announced = this.#mesh.capabilitiesOf(nodeId);
    if (announced === undefined) return {};
    const { hardware, models, tools, tags } = announced;
    const { cpuCores, memoryGb, storageGb, gpu } = hardware;
    return {
      tags,
      cpuCores,
      memoryGb,
      storageGb,
      ...(gpu === undefined ? {} : { gpu: { vendor: gpu.vendor, vramGb: gpu.vramGb } }),
      models: models.map(({ id, contextLength, modalities, tokensPerSecond, loaded }) => ({
        id,
        contextLength,
        modalities,
        tokensPerSecond,
        isLoaded: loaded,
      })),
      tools: tools.map(({ id }) => id),
    };
  }
}
