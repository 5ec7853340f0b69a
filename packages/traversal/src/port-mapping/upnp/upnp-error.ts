import { PortMappingError } from "../port-mapping-error.ts";

/** Error codes of routers that make a difference (traversal §15.3). */
export const UpnpCode = {
  invalidAction: 401,
  invalidArgs: 402,
  invalidVariable: 404,
  actionFailed: 501,
  stringTooLong: 605,
  notAuthorized: 606,
  wildcardNotPermitted: 715,
  externalWildcardNotPermitted: 716,
  conflict: 718,
  samePortRequired: 724,
  onlyPermanentLeases: 725,
  remoteHostWildcardOnly: 726,
  externalPortWildcardOnly: 727,
  noPortsAvailable: 728,
  conflictWithOtherMechanism: 729,
  sourceWildcardNotPermitted: 732,
} as const;

const REFUSALS: Readonly<Record<number, string>> = {
  [UpnpCode.notAuthorized]: "action-not-authorized",
  [UpnpCode.wildcardNotPermitted]: "wildcard-not-permitted",
  [UpnpCode.externalWildcardNotPermitted]: "wildcard-not-permitted",
  [UpnpCode.sourceWildcardNotPermitted]: "wildcard-not-permitted",
  [UpnpCode.conflict]: "external-port-in-use",
  [UpnpCode.conflictWithOtherMechanism]: "external-port-in-use",
  [UpnpCode.samePortRequired]: "same-port-required",
  [UpnpCode.onlyPermanentLeases]: "only-permanent-leases",
  [UpnpCode.remoteHostWildcardOnly]: "remote-host-wildcard-only",
  [UpnpCode.externalPortWildcardOnly]: "external-port-wildcard-only",
  [UpnpCode.noPortsAvailable]: "no-ports-available",
};

/** An error code of a router as an error of ours. */
export function upnpError(routerCode: number): PortMappingError {
  if (routerCode === UpnpCode.invalidAction || routerCode === UpnpCode.invalidVariable) {
    return new PortMappingError("unavailable", `error ${routerCode}`, { routerCode });
  }
  if (routerCode === UpnpCode.stringTooLong) {
    return new PortMappingError("transport", "description too long", { routerCode });
  }
  const refusal = REFUSALS[routerCode];
  if (refusal !== undefined) return new PortMappingError("refused", refusal, { routerCode });
  return new PortMappingError("transport", `error ${routerCode}`, { routerCode });
}
