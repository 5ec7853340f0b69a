import { parseTag } from "@netmesh/wire";

/** Which nodes a query is about (spec/mesh.md §10.3). Empty texts in lists are dropped; an empty list means any. */
export type CapabilityScope =
  | "any"
  | "globalOnly"
  | "sameSubnet"
  | { readonly tenants: readonly string[] }
  | { readonly regions: readonly string[] };

/** For whom a node's capabilities are meant, by its tags. */
export interface AnnouncedScope {
  /** Only its own subnet, whatever else is said. */
  readonly isSubnetLocal: boolean;
  /** Everybody: no tenants and no regions. */
  readonly isGlobal: boolean;
  readonly tenants: ReadonlySet<string>;
  readonly regions: ReadonlySet<string>;
}

const TENANT = "tenant:";
const REGION = "region:";

/** Reads the `scope:` tags. */
export function readScope(tags: readonly string[]): AnnouncedScope {
  const tenants = new Set<string>();
  const regions = new Set<string>();
  let isSubnetLocal = false;
  for (const text of tags) {
    const tag = parseTag(text);
    if (tag?.kind !== "reserved" || tag.prefix !== "scope:") continue;
    const { body } = tag;
    if (body === "subnet-local") isSubnetLocal = true;
    else if (body.startsWith(TENANT) && body.length > TENANT.length) tenants.add(body.slice(TENANT.length));
    else if (body.startsWith(REGION) && body.length > REGION.length) regions.add(body.slice(REGION.length));
  }
  const isGlobal = !isSubnetLocal && tenants.size === 0 && regions.size === 0;
  return { isSubnetLocal, isGlobal, tenants, regions };
}

/**
 * Whether a query of that scope is about a node. `isSameSubnet` says whether it counts as in this node's subnet.
 */
export function admitsScope(scope: CapabilityScope, node: AnnouncedScope, isSameSubnet: boolean): boolean {
  if (scope === "any") return !node.isSubnetLocal;
  if (scope === "globalOnly") return node.isGlobal;
  if (scope === "sameSubnet") return isSameSubnet;
  const isForTenants = "tenants" in scope;
  const wanted = (isForTenants ? scope.tenants : scope.regions).filter((name) => name !== "");
  if (wanted.length === 0) return !node.isSubnetLocal;
  const own = isForTenants ? node.tenants : node.regions;
  return node.isGlobal || (!node.isSubnetLocal && wanted.some((name) => own.has(name)));
}
