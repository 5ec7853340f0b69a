import { randomBytes } from "node:crypto";
import type { AeadName } from "@netmesh/sdk";
import type { EndSettings, RivalName } from "../rivals/rival.ts";

/** A rival with settings, under the name that results carry. */
export interface Contestant {
  readonly label: string;
  readonly rival: RivalName;
  /** Whether every event arrives, or the link has failed. */
  readonly isReliable: boolean;
  readonly datagramBytes?: number;
  /** netmesh only: what seals packets, when it is not what the SDK chooses. */
  readonly aead?: AeadName;
  /** Events that are written and read at once; absent for one by one. */
  readonly batchEvents?: number;
}

export const RELIABLE: Contestant = {
  label: "netmesh-reliable",
  rival: "netmesh-reliable",
  isReliable: true,
};

/** With the datagrams that netmesh sends to any address but loopback. */
export const RELIABLE_1200: Contestant = {
  ...RELIABLE,
  label: "netmesh-reliable-1200",
  datagramBytes: 1_200,
};

export const FIRE_AND_FORGET: Contestant = {
  label: "netmesh-fire-and-forget",
  rival: "netmesh-fire-and-forget",
  isReliable: false,
};

export const DGRAM: Contestant = { label: "dgram", rival: "dgram", isReliable: false };

export const TLS: Contestant = { label: "tls", rival: "tls", isReliable: true };

/** Settings for all ends of one link, with a fresh key. */
export function endSettings({
  datagramBytes,
  aead,
  batchEvents,
}: Pick<Contestant, "datagramBytes" | "aead" | "batchEvents">): EndSettings {
  return {
    secret: randomBytes(32).toString("hex"),
    ...(datagramBytes === undefined ? {} : { datagramBytes }),
    ...(aead === undefined ? {} : { aead }),
    ...(batchEvents === undefined ? {} : { readsBatches: true }),
  };
}
