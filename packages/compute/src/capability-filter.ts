/** What a node must have to run a daemon (§12.1); every constraint given has to hold, and none means any node. */
export interface CapabilityFilter {
  /** All of these tags. */
  readonly requireTags?: readonly string[];
  /** Any of these models. */
  readonly requireModels?: readonly string[];
  /** Any of these tools. */
  readonly requireTools?: readonly string[];
  /** At least so much memory. */
  readonly minMemoryGb?: number;
  /** A GPU of any kind. */
  readonly requireGpu?: boolean;
  /** A GPU of this vendor. */
  readonly gpuVendor?: string;
  /** At least so much video memory. */
  readonly minVramGb?: number;
  /** A model with at least this context. */
  readonly minContextLength?: number;
  /** Models for all of these modalities. */
  readonly requireModalities?: readonly string[];
}
